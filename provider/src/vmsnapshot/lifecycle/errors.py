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
    ├── TimedOut                    the operation timed out
    ├── Cancelled                   the user cancelled
    ├── Unsupported                 this platform can't do it
    └── PlatformError               anything else that the platform said
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Subject:
    """What was tried, and on what: the head of an error's message.

    Attributes:
        attempted: What was tried: `taking snapshot "x" of VM "web-1"`.
        vm: The VM's name and id, as far as known.
        snapshot: The snapshot's name and id, as far as known.
    """

    attempted: str
    vm: str | None = None
    snapshot: str | None = None

    def __str__(self) -> str:
        """One phrase with everything known."""
        parts = [f"VM {self.vm}"] if self.vm else []
        parts += [f"snapshot {self.snapshot}"] if self.snapshot else []
        return f"{self.attempted} [{', '.join(parts)}]" if parts else self.attempted


def full_stop(text: str) -> str:
    """Returns a text that ends as a sentence does; one that already does stays as it is."""
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


class VmsnapshotError(Exception):
    """A failure with a sentence for the user.

    Args:
        reason: Why, in the platform's words where it said something; a whole message where `subject` is None.
        retryable: Whether doing the same again may work without anybody changing anything.
        property: The input that is to blame; None: none is.
        subject: What was tried on which VM and snapshot; None: `reason` says it.
        hint: What to do about it.

    Attributes:
        reason: As given.
        property: As given.
        subject: As given.
        hint: As given.
        retryable: As given, or what holds for errors of its kind.
        outcome_unknown: Whether what was tried may have been done, or may be under way, all the same.
    """

    retryable = False
    outcome_unknown = False

    def __init__(
        self,
        reason: str,
        *,
        retryable: bool | None = None,
        property: str | None = None,  # noqa: A002 - the engine's term
        subject: Subject | str | None = None,
        hint: str = "",
    ) -> None:
        self.reason = reason
        self.property = property
        self.subject = Subject(subject) if isinstance(subject, str) else subject
        self.hint = hint
        self._more: list[str] = []
        super().__init__(reason)
        if retryable is not None:
            self.retryable = retryable

    @property
    def message(self) -> str:
        """The whole sentence: `vmName: there is no VM "web-1"`, `removing snapshot "x": …`."""
        text = self.explanation
        if self.subject is not None:
            text = f"{self.subject}: {text}"
        return text if self.property is None or self.property in text else f"{self.property}: {text}"

    @property
    def explanation(self) -> str:
        """The message without what was tried: the hint, the reason, and what else came of it."""
        return " ".join(part for part in (self.hint, self.reason, *self._more) if part)

    def add(self, text: str) -> None:
        """Add a sentence to the message: what else came of it."""
        self._more.append(text)

    def conceal(self, conceal: Callable[[str], str]) -> None:
        """Take secrets out of the message, part by part."""
        self.reason, self.hint = conceal(self.reason), conceal(self.hint)
        self._more = [conceal(text) for text in self._more]

    def about(self, subject: Subject | str) -> VmsnapshotError:
        """Returns the same error of something else that was tried, which failed because of it."""
        return self._with(subject=Subject(subject) if isinstance(subject, str) else subject)

    def blame(self, property: str) -> VmsnapshotError:  # noqa: A002 - the engine's term
        """Returns the same error with the input that is to blame."""
        return self._with(property=property)

    def _with(self, **changed: object) -> VmsnapshotError:
        # Not by copy.copy, which calls the class with what Exception was given.
        other = type(self).__new__(type(self), self.reason)
        other.__dict__.update(self.__dict__, _more=[*self._more], **changed)
        return other

    def __str__(self) -> str:
        """The sentence, and whether trying again helps."""
        return f"{full_stop(self.message)} Trying again may help." if self.retryable else self.message


class InvalidInput(VmsnapshotError):
    """A property or setting is wrong; `property` names it."""

    property: str

    def __init__(
        self,
        property: str,  # noqa: A002 - the engine's term
        reason: str,
        *,
        subject: Subject | str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(reason, subject=subject, hint=hint)
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

    retryable = True
    outcome_unknown = True


class Busy(VmsnapshotError):
    """Another task runs on the VM, or the platform is overloaded."""

    retryable = True


class TimedOut(VmsnapshotError):
    """The operation timed out."""

    retryable = True
    outcome_unknown = True


class Cancelled(VmsnapshotError):
    """The user cancelled."""

    retryable = True
    outcome_unknown = True


class Unsupported(VmsnapshotError):
    """This platform can't do it."""


class PlatformError(VmsnapshotError):
    """Anything else that the platform said."""
