"""The shape of a kubeconfig, as far as it is used here (client-go's `clientcmd/api/v1`).

What else stands in the file is left alone. A value of another kind is an error that names its place and
nothing of the value, which may be a secret.
"""

from __future__ import annotations

from typing import Any, Final

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Characters that the name of a host may have (RFC 1035).
_LONGEST_HOST: Final = 253


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class _Cluster(_Part):
    server: str | None = None
    certificate_authority: str | None = Field(None, alias="certificate-authority")
    certificate_authority_data: str | None = Field(None, alias="certificate-authority-data")
    insecure_skip_tls_verify: bool | None = Field(None, alias="insecure-skip-tls-verify")
    tls_server_name: str | None = Field(None, alias="tls-server-name")
    proxy_url: str | None = Field(None, alias="proxy-url")


class _Variable(_Part):
    name: str
    value: str


class _Exec(_Part):
    api_version: str | None = Field(None, alias="apiVersion")
    command: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str | None = Field(None, alias="installHint")


class _User(_Part):
    token: str | None = None
    token_file: str | None = Field(None, alias="tokenFile")
    username: str | None = None
    password: str | None = None
    client_certificate: str | None = Field(None, alias="client-certificate")
    client_certificate_data: str | None = Field(None, alias="client-certificate-data")
    client_key: str | None = Field(None, alias="client-key")
    client_key_data: str | None = Field(None, alias="client-key-data")
    exec: _Exec | None = None


class _Context(_Part):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class _NamedCluster(_Part):
    name: str
    cluster: _Cluster | None = None


class _NamedUser(_Part):
    name: str
    user: _User | None = None


class _NamedContext(_Part):
    name: str
    context: _Context | None = None


class _Kubeconfig(_Part):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = Field(None, alias="current-context")


def shape_error(document: Any) -> str | None:
    """Returns what is wrong with the shape of a kubeconfig, without its values; None: nothing is."""
    try:
        _Kubeconfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        return f"{place.lstrip('.') or 'the whole'}: {first['msg']}"
    return None


def address_error(address: str) -> str | None:
    """Returns what is wrong with an address of a server or a proxy; None: nothing is."""
    try:
        url = httpx2.URL(address)
        host = url.raw_host
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        return f"it is no address ({error})"
    if not host:
        return "it has no host"
    if len(host) > _LONGEST_HOST:
        return f"its host has {len(host)} characters; a name has at most {_LONGEST_HOST}"
    return None
