"""Converts texts to what a platform can store: what XML 1.0 can hold, with LF at line ends."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

# XML 1.0, production 2 (Char): everything else can't be sent to vSphere, in no notation.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def storable(text: str) -> str:
    """Returns a text as it comes back from a platform: XML turns CR LF and CR into LF.

    Raises:
        ValueError: It holds a character that XML 1.0 can't hold, such as NUL or another control character.
    """
    found = _NOT_XML.search(text)
    if found is not None:
        message = (
            f"holds the character U+{ord(found[0]):04X} at position {found.start() + 1}, which vSphere's "
            "protocol (XML 1.0) can't transport; remove it"
        )
        raise ValueError(message)
    return text.replace("\r\n", "\n").replace("\r", "\n")


StoredText: TypeAlias = Annotated[str, AfterValidator(storable)]
"""A property that holds a text which is stored on the platform."""
