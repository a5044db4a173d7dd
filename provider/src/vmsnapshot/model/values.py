"""Unknown and secret values, and functions over trees that may hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final


class Unknown:
    """A value that the engine will know only once something else has been made."""

    _instance: Unknown | None = None

    def __new__(cls) -> Unknown:  # noqa: PYI034 - a singleton: the one instance is of this class
        """Returns the only instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        """Readable in a failed assertion."""
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclasses.dataclass(frozen=True)
class Secret:
    """A value to be encrypted in state and never shown."""

    value: Any

    def __repr__(self) -> str:
        """Never the value: a secret may end up in a log through its repr."""
        return "Secret([secret])"


def plain(value: Any) -> Any:
    """Unwraps all secrets of a tree; unknowns stay."""
    match value:
        case Secret(value=inner):
            return plain(inner)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def has_unknown(value: Any) -> bool:
    """Whether anything in the tree is unknown."""
    match value:
        case Unknown():
            return True
        case Secret(value=inner):
            return has_unknown(inner)
        case dict():
            return any(has_unknown(item) for item in value.values())
        case list():
            return any(has_unknown(item) for item in value)
        case _:
            return False


def has_secret(value: Any) -> bool:
    """Whether anything in the tree is secret."""
    match value:
        case Secret():
            return True
        case dict():
            return any(has_secret(item) for item in value.values())
        case list():
            return any(has_secret(item) for item in value)
        case _:
            return False


def secret_strings(value: Any, *, inside: bool = False) -> Iterator[str]:
    """Returns every string inside a secret."""
    match value:
        case Secret(value=inner):
            yield from secret_strings(inner, inside=True)
        case dict():
            for item in value.values():
                yield from secret_strings(item, inside=inside)
        case list():
            for item in value:
                yield from secret_strings(item, inside=inside)
        case str() if inside and value:
            yield value


def conceal(tree: Any, secrets: set[str]) -> Any:
    """Returns the tree with every string that contains one of the secrets wrapped as a secret.

    A snapshot's path holds its name: when the name is a secret, so is the path.
    """
    if not secrets:
        return tree
    return _map_strings(
        tree, lambda text: Secret(text) if any(secret in text for secret in secrets) else text
    )


def redact(text: str, secrets: set[str]) -> str:
    """Replaces every secret in a text by `[secret]`."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def _map_strings(value: Any, change: Callable[[str], Any]) -> Any:
    match value:
        case dict():
            return {key: _map_strings(item, change) for key, item in value.items()}
        case list():
            return [_map_strings(item, change) for item in value]
        case str():
            return change(value)
        case _:
            return value
