"""What a user is told of a failure."""

from __future__ import annotations

import traceback

from vmsnapshot._version import __version__


def internal_error(error: BaseException) -> str:
    """What to say when this program itself is at fault."""
    last = traceback.format_exception_only(error)[-1].strip()
    return (
        f"vmsnapshot {__version__} failed unexpectedly, which is a mistake in the provider; please "
        f"report it with this text: {last}"
    )
