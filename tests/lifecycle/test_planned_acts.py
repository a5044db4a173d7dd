"""Resources of one update that work on the same VM: what is known of their order, and what is said."""

from __future__ import annotations

import pytest

from vmsnapshot.lifecycle.common.acts import Act, Meeting, PlannedActs
from vmsnapshot.lifecycle.common.interplay import meeting_text

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineRevert::"
A, B = f"{URN}a", f"{URN}b"
VM = {"vc/1": 'VM "web-1" (vm-1)'}


def preview(acts: PlannedActs, urn: str, act: Act | None = None) -> list[Meeting]:
    """A whole preview of one resource."""
    acts.begin(urn)
    met = [] if act is None else acts.plan(urn, act, VM)
    acts.end(urn)
    return met


def test_what_is_asked_for_while_another_is_previewed_does_not_wait_for_it() -> None:
    """The engine asks for a resource only once all that it depends on is previewed."""
    acts = PlannedActs()
    acts.begin(A)
    acts.begin(B)
    assert acts.plan(B, "snapshot", VM) == []
    acts.end(B)
    assert acts.plan(A, "revert", VM) == [Meeting(B, "snapshot", [*VM.values()], unordered=True)]


def test_what_is_asked_for_later_may_wait() -> None:
    """Nothing tells whether it does."""
    acts = PlannedActs()
    assert preview(acts, A, "snapshot") == []
    assert preview(acts, B, "revert") == [Meeting(A, "snapshot", [*VM.values()], unordered=False)]


def test_only_the_same_vm_counts() -> None:
    """Others, and resources that do nothing, are met by nobody."""
    acts = PlannedActs()
    preview(acts, A)
    acts.begin(A)
    assert preview(acts, B, "revert") == []
    assert acts.plan(A, "revert", {"vc/2": 'VM "web-2" (vm-2)'}) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "unordered", "said"),
    [
        ("revert", "revert", False, "is certain only if one of them depends on the other"),
        ("revert", "revert", True, "As neither waits for the other, which one comes last is not certain"),
        ("revert", "snapshot", True, '"b" takes a snapshot of VM "web-1" (vm-1)'),
        ("snapshot", "revert", True, '"a" takes a snapshot of VM "web-1" (vm-1)'),
        ("revert", "snapshot", False, None),
        ("snapshot", "revert", False, None),
        ("snapshot", "snapshot", True, None),
    ],
)
def test_only_what_is_uncertain_is_said(mine: Act, theirs: Act, unordered: bool, said: str | None) -> None:
    """A snapshot before or after a revert is usual where they are ordered; two reverts never are."""
    text = meeting_text(A, mine, Meeting(B, theirs, [*VM.values()], unordered))
    if said is None:
        assert text is None
    else:
        assert text is not None
        assert said in text
        assert "`dependsOn`" in text
