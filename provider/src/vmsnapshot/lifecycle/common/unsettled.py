"""What a preview can't tell, as some inputs are known only by the update."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vmsnapshot.model.property_path import PropertyPath, format_path


@dataclasses.dataclass(frozen=True)
class Unsettled:
    """Which inputs of a revert or a rollback aren't known yet, by what depends on them.

    Attributes:
        power: Whether `powerPolicy` is among them.
        safety: Those that say whether, or how, a safety snapshot is taken.
    """

    power: bool = False
    safety: tuple[str, ...] = ()

    @classmethod
    def of(cls, unknown: Iterable[PropertyPath], deciding: Sequence[str] = ("safetySnapshot",)) -> Unsettled:
        """What depends on these paths; `deciding` names the properties that decide about safety snapshots."""
        paths = sorted(unknown, key=str)
        return cls(
            power=any(path[0] == "powerPolicy" for path in paths),
            safety=tuple(format_path(path) for path in paths if path[0] in deciding),
        )


SETTLED: Final = Unsettled()


def capture_texts(unknown: Iterable[PropertyPath]) -> Iterator[str]:
    """Says what isn't known yet of how a snapshot is taken."""
    paths = sorted(unknown, key=str)
    for name, what in (
        ("memory", "Whether it holds the memory of a running VM"),
        ("quiesce", "Whether and how the guest is quiesced first"),
    ):
        if names := [format_path(path) for path in paths if path[0] == name]:
            yield depends_text(what, names)


def depends_text(what: str, names: Iterable[str]) -> str:
    """Says on which inputs something depends that a preview can't tell."""
    found = [f"`{name}`" for name in names]
    values = "a value that isn't" if len(found) == 1 else "values that aren't"
    return f"{what} depends on {' and '.join(found)}, {values} known yet."
