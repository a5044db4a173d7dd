"""The provider's own settings, which the engine sends in a way of its own.

A setting from the stack's configuration is always a string, and SDKs write anything that isn't one
as JSON: `"true"`, `"[1, 2]"`.  CheckConfig gets secrets in plain text.  Some keys are the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format, struct_pb2

from vmsnapshot.frontends.engine._protocol import provider_pb2
from vmsnapshot.frontends.plugin._codec import UNKNOWN_STRING, decode, decode_value
from vmsnapshot.lifecycle.ownership import NEW_STATE, state_key
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model.values import Secret

# The engine puts these beside the settings.
_ENGINES: Final = frozenset(
    {"__internal", "envVarMappings", "parameterization", "pluginChecksums", "pluginDownloadURL", "version"}
)


class Settings:
    """Reads settings by what the schema says of them.

    Args:
        specs: The schema's `provider.inputProperties`.
    """

    def __init__(self, specs: Mapping[str, Mapping[str, Any]]) -> None:
        self._specs = specs

    def decode(self, struct: struct_pb2.Struct) -> Properties:
        """The settings with their true types; those that the schema calls secret are secret.

        Raises:
            InvalidInput: As of `decode`.
        """
        sent = {key: value for key, value in decode(struct).items() if key not in _ENGINES}
        return {key: self._typed(key, value) for key, value in sent.items()}

    def _typed(self, key: str, value: Any) -> Any:
        if isinstance(value, Secret):
            return Secret(self._plain(key, value.value))
        plain = self._plain(key, value)
        return Secret(plain) if self._specs.get(key, {}).get("secret") else plain

    def _plain(self, key: str, value: Any) -> Any:
        kind = self._specs.get(key, {}).get("type", "string")
        if not isinstance(value, str) or kind == "string":
            return value
        if kind == "boolean" and value in {"True", "False"}:  # as Python's str() writes them
            return value == "True"
        parsed = struct_pb2.Value()
        try:
            json_format.Parse(value, parsed)
        except json_format.ParseError:
            return value  # the check says what is wrong with it
        return decode_value(parsed)


def state_of(request: provider_pb2.ConfigureRequest) -> str | None:
    """What tells the stack's state from others: the id that the provider has there, a random UUID.

    The engine makes it when it first puts the provider into the state, which is before anything is asked of
    the provider, and keeps it as long as that stands there (pulumi 3.250, providers/registry.go); in a
    preview before that it isn't known.
    None: the engine doesn't tell it.
    """
    if not request.id:
        return None
    return NEW_STATE if request.id == UNKNOWN_STRING else state_key(request.id)


def engines_own(struct: struct_pb2.Struct) -> struct_pb2.Struct:
    """What the engine put beside the settings; it expects that back from a check."""
    own = struct_pb2.Struct()
    for key in _ENGINES & set(struct.fields):
        own.fields[key].CopyFrom(struct.fields[key])
    return own


def from_variables(variables: Mapping[str, str]) -> struct_pb2.Struct:
    """The settings as engines before 2020 send them: `vmsnapshot:config:user` to its value."""
    struct = struct_pb2.Struct()
    for key, value in variables.items():
        struct.fields[key.rpartition(":")[2]].string_value = value
    return struct
