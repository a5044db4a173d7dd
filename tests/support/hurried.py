"""A plugin whose own waits are short: for tests of what it does after a wait, not of how long that is.

The times are constants of the provider, for nobody to set. A plugin that is forked (tests/support/forked.py)
takes others from its environment; the one that the real engine starts, and so the tests of engines that are
killed, wait as long as users do.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Mapping
from typing import Final

_VARIABLE: Final = "VMSNAPSHOT_TEST_HURRIED"
# Where each time stands, and its seconds for such a plugin: it is half a minute for users.
_TIMES: Final = (
    # What was asked for and doesn't show may still come. By then a simulator has long shown it.
    ("vmsnapshot.backends.vsphere._history", "LATE_WITHIN", 3.0),
    ("vmsnapshot.lifecycle.common.late", "LATE_WITHIN", 3.0),
    # What is tidied up after a failure has so much time: all of it that can be done is done by then.
    ("vmsnapshot.lifecycle.common.session", "TIDY_UP_AT_LEAST", 8.0),
    # What the VM Operator tells of a revert is believed once it has stood for so long.
    ("vmsnapshot.backends.vmoperator._revert_status", "UNSHOWN_TIME", 3.0),
    ("vmsnapshot.backends.vmoperator._reverts", "UNSHOWN_TIME", 3.0),
)

# For the environment of a forked plugin.
HURRIED: Final[Mapping[str, str]] = {_VARIABLE: "yes"}


def hurry(environment: Mapping[str, str]) -> None:
    """Let this process wait no longer, if its environment says so."""
    if _VARIABLE not in environment:
        return
    for place, name, seconds in _TIMES:
        module = importlib.import_module(place)
        lasting = isinstance(getattr(module, name), dt.timedelta)
        setattr(module, name, dt.timedelta(seconds=seconds) if lasting else seconds)
