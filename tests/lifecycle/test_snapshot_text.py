"""What messages say of a snapshot."""

from __future__ import annotations

import pytest

from vmsnapshot.lifecycle.snapshot.text import gone_text, known_text
from vmsnapshot.model.snapshot import SnapshotState


@pytest.mark.parametrize(
    ("create_time", "told"),
    [
        (None, "taken at a time that is not known"),  # one that the VM Operator has adopted
        ("2026-11-30T12:00:00Z", "taken 2026-11-30 12:00:00 UTC"),
        ("2026-11-30T12:00:07.260352Z", "taken 2026-11-30 12:00:07 UTC"),
    ],
)
def test_when_it_was_taken(create_time: str | None, told: str) -> None:
    """In the form that all messages have; a time that isn't known is said to be that, never None."""
    state = SnapshotState(vm_name="web-1", name="base", create_time=create_time)
    assert known_text(state).endswith(f", {told}")
    gone = gone_text(state, "it was removed")
    assert f"{told}, is gone: it was removed. That restore point" in gone
    assert "A VirtualMachineRevert that goes to its `path` may then revert its VM" in gone
