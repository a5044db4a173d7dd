"""What can go wrong, in our own words.

Backends turn every vendor fault into one of these at a single place; frontends turn each into a
status at a single place.  Nobody in between catches vendor exceptions::

    VmsnapshotError                 a failure with a sentence for the user
    ├── InvalidInput                a property or setting is wrong; nothing was done
    ├── NotFound                    a VM or snapshot is definitely not there
    │   └── Gone                    it was there and has been removed
    ├── Ambiguous                   several things have that name
    ├── Refused                     the platform, or a check of ours, refuses in this state
    ├── Denied                      the login or a privilege is missing
    ├── Unreachable                 no connection, or it broke
    ├── Busy                        another task runs on the VM, or the platform is overloaded
    ├── TimedOut                    the resource's own time is over
    ├── Cancelled                   the user cancelled
    ├── Unsupported                 this platform can't do it
    └── PlatformError               anything else that the platform said
"""

from __future__ import annotations


def full_stop(text: str) -> str:
    """Returns a text that ends as a sentence does; one that already does stays as it is."""
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


class VmsnapshotError(Exception):
    """A failure with a sentence for the user.

    Args:
        message: What was tried, on which VM and snapshot, and the platform's words.
        retry_helps: Whether doing the same again may work without anybody changing anything.
        property: The input that is to blame; None: none is.

    Attributes:
        message: The sentence, after the property if there is one: `vmName: there is no VM "web-1"`.
        reason: The sentence alone.
    """

    retry_helps = False

    def __init__(
        self,
        message: str,
        *,
        retry_helps: bool | None = None,
        property: str | None = None,  # noqa: A002 - the engine's term
    ) -> None:
        self.reason = message
        self.property = property
        self.message = message if property is None else f"{property}: {message}"
        super().__init__(self.message)
        if retry_helps is not None:
            self.retry_helps = retry_helps

    def __str__(self) -> str:
        """The sentence, and whether trying again helps."""
        return f"{full_stop(self.message)} Trying again may help." if self.retry_helps else self.message


class InvalidInput(VmsnapshotError):
    """A property or setting is wrong; `property` names it, and the message says which."""

    property: str

    def __init__(self, property: str, message: str) -> None:  # noqa: A002 - the engine's term
        super().__init__(message)
        self.property = property


class NotFound(VmsnapshotError):
    """A VM or snapshot is definitely not there."""


class Gone(NotFound):
    """It was there, and has been removed."""


class Ambiguous(VmsnapshotError):
    """Several things have that name; the message lists them."""


class Refused(VmsnapshotError):
    """The platform, or a check of ours, refuses in this state."""


class Denied(VmsnapshotError):
    """The login or a privilege is missing."""


class Unreachable(VmsnapshotError):
    """There is no connection, or it broke."""

    retry_helps = True


class Busy(VmsnapshotError):
    """Another task runs on the VM, or the platform is overloaded."""

    retry_helps = True


class TimedOut(VmsnapshotError):
    """The resource's own time is over."""

    retry_helps = True


class Cancelled(VmsnapshotError):
    """The user cancelled."""

    retry_helps = True


class Unsupported(VmsnapshotError):
    """This platform can't do it."""


class PlatformError(VmsnapshotError):
    """Anything else that the platform said."""
