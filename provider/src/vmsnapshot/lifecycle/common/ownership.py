"""By what a snapshot says who made it.

On the VM Operator a snapshot carries labels and annotations for that.  vSphere has no place but the
description: snapshots made here carry one last line in it, for people and for us::

    before the upgrade
    Managed by Pulumi: resource before-release, stack shop/dev, mark 5f1c9a07b3d2-8e41f0a2

The mark's first half is the resource (a hash of its URN), the second is this one making of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets

_LINE = re.compile(
    r"^Managed by Pulumi: resource (?P<resource>.+), stack (?P<stack>.+), "
    r"mark (?P<maker>[0-9a-f]{12})-(?P<making>[0-9a-f]{8})$"
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Which resource made a snapshot (`maker`), and in which making of it (`making`)."""

    maker: str
    making: str

    def __str__(self) -> str:
        """As it stands in state and in the line."""
        return f"{self.maker}-{self.making}"


@dataclasses.dataclass(frozen=True)
class Owner:
    """The resource that makes a snapshot, and the mark of this making."""

    urn: str
    mark: Mark

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


def maker(urn: str) -> str:
    """The part of a mark that names the resource: 12 hexadecimal digits of its URN's hash."""
    return hashlib.sha256(urn.encode()).hexdigest()[:12]


def new_owner(urn: str) -> Owner:
    """The owner of one more snapshot of a resource."""
    return Owner(urn, Mark(maker(urn), secrets.token_hex(4)))


def owner_by(urn: str, request: str) -> Owner:
    """The owner that a repeated request makes again: for safety snapshots and checkpoints."""
    return Owner(urn, Mark(maker(urn), making(request)))


def making(request: str) -> str:
    """The part of a mark that a repeated request makes again: 8 hexadecimal digits of its hash."""
    return hashlib.sha256(request.encode()).hexdigest()[:8]


def parse_mark(text: str | None) -> Mark | None:
    """The mark of state's `ownership`."""
    if not text or "-" not in text:
        return None
    first, _, second = text.partition("-")
    return Mark(first, second)


def describe(description: str, owner: Owner) -> str:
    """The description as vSphere stores it: the user's text, then the line."""
    stack = f"{owner.project}/{owner.stack}"
    line = f"Managed by Pulumi: resource {owner.resource}, stack {stack}, mark {owner.mark}"
    return f"{description}\n{line}" if description else line


def split(stored: str) -> tuple[str, Mark | None]:
    """A stored description as the user's text and the mark, if its last line is ours."""
    text, _, last = stored.rstrip("\n").rpartition("\n")
    found = _LINE.match(last)
    if found is None:
        return stored, None
    return text, Mark(found["maker"], found["making"])


def resource_name(urn: str) -> str:
    """The resource's name in the program."""
    return _parts(urn)[2]


def _parts(urn: str) -> tuple[str, str, str]:
    """The stack, the project and the resource's name of `urn:pulumi:STACK::PROJECT::TYPE::NAME`."""
    head, _, rest = urn.partition("::")
    project, _, rest = rest.partition("::")
    _, _, name = rest.partition("::")
    return head.rpartition(":")[2] or "?", project or "?", name or urn
