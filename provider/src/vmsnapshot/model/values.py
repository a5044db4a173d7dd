"""Unknown and secret values, and functions over trees that may hold them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final

_REDACTED: Final = "[secret]"
# Characters from which on a secret is found inside other words, too. Ours.
_LONG: Final = 6
# Characters up to which a secret is concealed only in what is about its own resource. Ours.
_SHORT: Final = 2


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


def of_others(secrets: set[str]) -> set[str]:
    """Returns the secrets that are concealed in what is about other resources than their own.

    One or two letters stand in names that have nothing to do with the secret.
    """
    return {secret for secret in secrets if len(secret) > _SHORT}


def conceal(tree: dict[str, Any], secrets: set[str], *, whole_words: bool = False) -> dict[str, Any]:
    """Returns a tree of properties with every string that contains one of the secrets as a secret.

    A snapshot's path holds its name: when the name is a secret, so is the path. A key can't be a secret: a
    map with such a key becomes one as a whole.

    Args:
        tree: The values by the properties' names, which are none.
        secrets: The secret strings.
        whole_words: Whether a secret counts only where no letter or digit stands beside it.
    """
    if not secrets:
        return tree
    edge = r"(?<!\w)", r"(?!\w)"
    start, end = edge if whole_words else ("", "")
    found = re.compile("|".join(f"{start}{re.escape(secret)}{end}" for secret in secrets))
    return {name: _concealed(value, found) for name, value in tree.items()}


def _concealed(value: Any, found: re.Pattern[str]) -> Any:
    match value:
        case dict():
            if any(found.search(key) for key in value):
                return Secret(plain(value))
            return {key: _concealed(item, found) for key, item in value.items()}
        case list():
            return [_concealed(item, found) for item in value]
        case str() if found.search(value):
            return Secret(value)
        case _:
            return value


def redact(text: str, secrets: set[str]) -> str:
    """Replaces every secret in a text by `[secret]`.

    One of a few characters only where it stands alone: it would punch holes into other words. One without a
    letter or digit not at all: there is nothing to tell it from punctuation.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LONG:
            text = text.replace(secret, _REDACTED)
        elif re.search(r"\w", secret):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _REDACTED, text)
    return text
