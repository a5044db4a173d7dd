"""Snapshots that were made outside the VM Operator: adopted by it, and in the way of what it tells."""

from __future__ import annotations

import pytest

from devkit.waiting import until
from tests.vmoperator.desk import Desk
from tests.vmoperator.environment import SNAPSHOT
from tests.vmoperator.harness import Harness
from vmsnapshot.lifecycle.errors import Refused


def test_a_snapshot_that_is_adopted_is_not_called_taken(desk: Desk) -> None:
    """One of that name was made outside: the preview warns of it, and the update says what happened."""
    harness = desk.harness
    other_user = harness.other_user
    other_user.take("web-1", "release")
    until(lambda: any(not item.managed for item in harness.vm().snapshots))
    desk.write(SNAPSHOT, name="release")
    assert "the VM Operator adopts that one" in desk.stack.preview().check().words
    assert "no new snapshot was taken" in desk.stack.up().check().words
    assert harness.creates() == []
    assert other_user.names("web-1") == ["release"]
    # When it was taken the API doesn't tell; it was not when the object was made.
    assert "createTime" not in desk.outputs
    assert desk.outputs["path"] == "release"
    assert desk.stack.refresh().check().ops == {}
    assert desk.stack.preview().check().ops == {}


def test_a_revert_to_an_adopted_one_says_what_it_may_lack(desk: Desk) -> None:
    """It holds a copy of the VM's object only if the VM Operator managed the VM when it was taken."""
    harness = desk.harness
    harness.other_user.take("web-1", "release")
    until(lambda: any(not item.managed for item in harness.vm().snapshots))
    desk.write(SNAPSHOT, name="release")
    desk.stack.up().check()
    told = "was made outside the VM Operator. If that was before the VM Operator managed the VM"
    assert told in desk.foreseen(snapshot="release").check().words
    desk.stack.up().check()
    assert harness.reverts() == ["release"]


def test_an_adopted_one_with_others_below_it(desk: Desk) -> None:
    """What is below it shows now, so the numbers don't tell: no time is claimed."""
    harness = desk.harness
    harness.other_user.take("web-1", "release")
    harness.other_user.take("web-1", "by hand")
    until(lambda: any(not item.managed for item in harness.vm().snapshots))
    desk.write(SNAPSHOT, name="release")
    assert "whether it was taken now is not known" in desk.stack.up().check().words
    assert harness.creates() == []
    assert "createTime" not in desk.outputs


def test_a_new_one_beside_one_made_outside(desk: Desk) -> None:
    """It is the current one, below nothing that was made outside: it was taken, and its time is known."""
    harness = desk.harness
    harness.take("base")
    harness.other_user.take("web-1", "by hand")
    until(lambda: any(not item.managed for item in harness.vm().snapshots))
    harness.revert("base")
    until(lambda: harness.vm().current_snapshot_id == "base")
    desk.write(SNAPSHOT, name="release")
    assert "has adopted" not in desk.stack.up().check().words
    assert harness.creates() == ["base", "release"]
    assert desk.outputs["createTime"]
    assert desk.outputs["path"] == "base/release"
    assert "vmsnapshot/adoption" not in harness.object("release").metadata.annotations


def test_below_one_made_outside_the_place_is_not_known(desk: Desk) -> None:
    """The VM Operator tells nothing of it: outputs and preview say so, and no parent is guessed."""
    harness = desk.harness
    harness.take("base")
    harness.other_user.take("web-1", "by hand")
    until(lambda: harness.vm().current_snapshot_id == "unmanaged-1")
    desk.write(SNAPSHOT, name="below")
    shown = desk.stack.preview().check().words
    assert "How deep in its chain the snapshot would be is not known" in shown
    done = desk.stack.up().check()
    assert "whether it was taken now is not known" in done.words
    assert harness.other_user.names("web-1") == ["base", "by hand", "below"]
    for name in ("parent", "createTime"):
        assert name not in desk.outputs, name
    # What a revert of the program gets as its `snapshot` is never nothing, which would only watch the VM.
    assert desk.outputs["path"] == "below"
    assert desk.foreseen(snapshot="below").check().words.count('will be reverted to snapshot "below"') == 1
    assert desk.outputs["current"] is True
    assert desk.stack.refresh().check().ops == {}
    tree = desk.foreseen(snapshot="base").check().words
    assert "below (Managed, age not known, place in the tree not known) <== you are here" in tree


def test_a_name_that_is_another_ones_id(harness: Harness, desk: Desk) -> None:
    """The VM Operator takes the other one for it: adopts it, and would revert to it and remove it."""
    taken = harness.take("base").unique_id
    assert taken is not None
    desk.write(SNAPSHOT, name=taken)
    told = 'is also the id that vSphere has given to snapshot "base" of the VM'
    assert told in desk.stack.preview().failed().words
    with pytest.raises(Refused, match="Nothing was done"):
        harness.create(taken)
    harness.make(taken)
    until(lambda: harness.ready(taken))
    assert harness.creates() == ["base"]
    assert told in desk.foreseen(snapshot=taken).failed().words
    for act in (harness.revert, harness.remove):
        with pytest.raises(Refused, match="also the id"):
            act(taken)
    assert harness.reverts() == []
    assert harness.other_user.names("web-1") == ["base"]
    # The other one is itself: it can be removed, and then so can what is no longer its namesake.
    harness.remove("base")
    harness.remove(taken)
    assert harness.other_user.names("web-1") == []
