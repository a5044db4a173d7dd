r"""Names and texts in the form in which vSphere stores them.

The API asks that `%` be escaped in the name of a snapshot "unless it is used to start an escape
sequence" (CreateSnapshot_Task, CreateSnapshotEx_Task), and names of entities are kept with `%`, `/` and
`\` escaped (ManagedEntity.name).  The vSphere Client's own default name for a snapshot,
`VM Snapshot 11/13/2019, 8:00:29 PM`, is stored as `VM Snapshot 11%2f13%2f2019, 8:00:29 PM`.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = {"%": "%25", "/": "%2f", "\\": "%5c"}
_ESCAPED: Final = re.compile("%25|%2f|%5c", re.IGNORECASE)
_MEANT: Final = {escaped: letter for letter, escaped in _ESCAPES.items()}


def escape(name: str) -> str:
    """A name as it is sent: `50% of 1/2` as `50%25 of 1%2f2`."""
    return "".join(_ESCAPES.get(letter, letter) for letter in name)


def unescape(stored: str) -> str:
    """A name as people see it; only the three escapes that vSphere itself writes are resolved."""
    return _ESCAPED.sub(lambda found: _MEANT[found[0].lower()], stored)
