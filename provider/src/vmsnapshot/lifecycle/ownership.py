"""Ownership marks: they say which resource made a snapshot, and for which request.

On the VM Operator they are labels and annotations. On vSphere, which has no other place for them, they are
the last line of the description, readable for people and parsed here::

    before the upgrade
    Managed by Pulumi: resource before, stack shop/dev, mark 5f1c9a07b3d2-8e41f0a2-9c07d1e4-61d0c3f2a94b07de

The mark's first part stands for the resource (a hash of its URN), the second for the request, the third for
the stack's state (a hash of the id that the provider has there): stacks of the same names in two backends
have resources of one URN. It is missing where the engine doesn't tell the id, as to dynamic resources. The
last part binds the others to the VM and the name that the snapshot was made for: a line that was copied, with
a VM or by a person, to a snapshot of another VM or name doesn't pass for a mark of that snapshot. Release
0.1.0 wrote lines without both. Resource and stack are for people: a name that is long, or holds what can't be
printed, is shortened there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
import unicodedata
from typing import Final, Literal, TypeAlias

# Characters of a resource's name in the line. Ours: the length limit of descriptions isn't documented.
_SHOWN: Final = 128
_LINE = re.compile(
    r"^Managed by Pulumi: resource (?P<resource>.+), stack (?P<stack>.+), "
    r"mark (?P<mark>[0-9a-f]{12}-[0-9a-f]{8}(?:-[0-9a-f]{8})?)(?:-(?P<binding>[0-9a-f]{16}))?$"
)
# The state of which nothing has been made yet, as the engine has still to give the provider its id there.
NEW_STATE: Final = "new"
# Hexadecimal digits of a state's hash, and of the binding's.
_OF_STATE: Final = 8
_OF_VM: Final = 8
_OF_NAME: Final = 8

# What a mark's binding shows: that the snapshot is the one that it was made for; the same, but for a name
# that somebody has changed since; nothing, as it has none (release 0.1.0) or the VM's identity isn't known.
Proof: TypeAlias = Literal["exact", "renamed", "none"]


@dataclasses.dataclass(frozen=True)
class OwnerRef:
    """An ownership mark: the resource that made a snapshot (`owner`) and its request (`generation`).

    `state` tells the stack's state from others (`state_key`); None: it isn't known.
    """

    owner: str
    generation: str
    state: str | None = None

    def __str__(self) -> str:
        """Formats the mark as state and descriptions hold it."""
        mark = f"{self.owner}-{self.generation}"
        return mark if self.state is None else f"{mark}-{self.state}"


@dataclasses.dataclass(frozen=True)
class OwnerLine:
    """The line with the mark: what is parsed, and who made the snapshot in words.

    Attributes:
        mark: The mark.
        resource: The resource's name in its program, as far as it can be shown in one line.
        stack: Project and stack, such as `shop/dev`.
        proof: What the mark's binding shows.
    """

    mark: OwnerRef
    resource: str
    stack: str
    proof: Proof = "none"


@dataclasses.dataclass(frozen=True)
class Owner:
    """The resource that makes a snapshot, and the mark that the snapshot gets."""

    urn: str
    mark: OwnerRef

    @property
    def resource(self) -> str:
        """The resource's name in the program."""
        return _parts(self.urn)[2]

    @property
    def stack(self) -> str:
        """The stack's name."""
        return _parts(self.urn)[0]

    @property
    def project(self) -> str:
        """The project's name."""
        return _parts(self.urn)[1]

    @property
    def line(self) -> OwnerLine:
        """The line that is written into a snapshot's description on the platform."""
        return OwnerLine(self.mark, _shown(self.resource), _shown(f"{self.project}/{self.stack}"))


def owner_id(urn: str) -> str:
    """Returns the first half of a resource's marks: 12 hexadecimal digits of its URN's hash."""
    return hashlib.sha256(urn.encode()).hexdigest()[:12]


def state_key(provider_id: str) -> str:
    """Returns what tells a stack's state from others: a hash of the id that the provider has there."""
    return hashlib.sha256(provider_id.encode()).hexdigest()[:_OF_STATE]


def is_same_state(mark: OwnerRef | None, state: str | None) -> bool | None:
    """Returns whether a mark was made in a state; None: one of the two isn't known.

    One state has more than one key in time: each release of the provider has an id of its own there.
    """
    if mark is None or mark.state is None or state is None:
        return None
    return mark.state == state


def new_owner(urn: str, state: str | None = None) -> Owner:
    """Returns an owner with a new random mark, for a snapshot that is made once."""
    return Owner(urn, OwnerRef(owner_id(urn), secrets.token_hex(4), state))


def owner_by(urn: str, request: str, state: str | None = None) -> Owner:
    """Returns an owner whose mark is derived from a request, so that the request repeated has the same."""
    return Owner(urn, OwnerRef(owner_id(urn), generation(request), state))


def generation(request: str) -> str:
    """Returns the second half of a mark that is derived from a request: 8 hexadecimal digits of its hash."""
    return hashlib.sha256(request.encode()).hexdigest()[:8]


def parse_mark(text: str | None) -> OwnerRef | None:
    """Parses the mark that state holds as `ownership`; None: it isn't one."""
    if not text or "-" not in text:
        return None
    owner, making, *state = text.split("-", maxsplit=2)
    return OwnerRef(owner, making, *state)


def bind(mark: OwnerRef, vm: str, name: str) -> str:
    """Returns a mark's last part.

    Args:
        mark: The mark.
        vm: What tells the VM from every other one (vSphere: its instance UUID).
        name: The snapshot's name.
    """
    of_vm = hashlib.sha256(f"{mark}|{vm}".encode()).hexdigest()[:_OF_VM]
    named = f"{mark}|{vm}|{unicodedata.normalize('NFC', name)}"
    return of_vm + hashlib.sha256(named.encode()).hexdigest()[:_OF_NAME]


def check(mark: OwnerRef, binding: str | None, vm: str | None, name: str) -> Proof | None:
    """Returns what a binding shows of the snapshot that it stands on; None: it was made for another VM."""
    if binding is None or vm is None:
        return "none"
    expected = bind(mark, vm, name)
    if binding == expected:
        return "exact"
    return "renamed" if binding[:_OF_VM] == expected[:_OF_VM] else None


def describe(description: str, owner: Owner, vm: str | None, name: str) -> str:
    """Returns the description for vSphere: the user's text, then the line with the mark.

    Args:
        description: The user's text.
        owner: The resource that makes the snapshot.
        vm: The VM's instance UUID; None: not known.
        name: The snapshot's name.
    """
    told = owner.line
    mark = str(told.mark) if vm is None else f"{told.mark}-{bind(told.mark, vm, name)}"
    line = f"Managed by Pulumi: resource {told.resource}, stack {told.stack}, mark {mark}"
    return f"{description}\n{line}" if description else line


def split(stored: str, vm: str | None, name: str) -> tuple[str, OwnerLine | None]:
    """Splits a stored description into the user's text and the line with the mark.

    Args:
        stored: The description.
        vm: The instance UUID of the snapshot's VM; None: not known.
        name: The snapshot's name.

    Returns:
        The user's text and the line; the whole and None, if it has none or one of another VM's snapshot.
    """
    text, _, last = stored.rstrip("\n").rpartition("\n")
    found = _LINE.match(last)
    if found is None:
        return stored, None
    mark = parse_mark(found["mark"])
    proof = None if mark is None else check(mark, found["binding"], vm, name)
    if mark is None or proof is None:
        return stored, None
    return text, OwnerLine(mark, found["resource"], found["stack"], proof)


def resource_name(urn: str) -> str:
    """Returns the resource's name in the program."""
    return _parts(urn)[2]


def stack_of(urn: str) -> str:
    """Returns project and stack of a resource, such as `shop/dev`."""
    stack, project, _ = _parts(urn)
    return f"{project}/{stack}"


def _shown(name: str) -> str:
    """Returns a name on one line: control characters would end the line, or change on their way."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _parts(urn: str) -> tuple[str, str, str]:
    """Returns stack, project and name of `urn:pulumi:STACK::PROJECT::TYPE::NAME`."""
    head, _, rest = urn.partition("::")
    project, _, rest = rest.partition("::")
    _, _, name = rest.partition("::")
    return head.rpartition(":")[2] or "?", project or "?", name or urn
