"""The ownership line: read back as written, and hidden from users."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from vmsnapshot.lifecycle import ownership

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before-release"
VM = "500f7d2c-1f0e-6b2a-3c4d-5e6f708192a3"


@given(st.text(), st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_users_see_their_text_and_we_see_the_mark(text: str, name: str) -> None:
    """A stored description splits into exactly the user's text and the mark it was made with."""
    urn = f"urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::{name}"
    owner = ownership.new_owner(urn)
    found, read = ownership.split(ownership.describe(text, owner, VM, "s"), VM, "s")
    assert read is not None
    assert (found, read.mark) == (text, owner.mark)
    assert read.resource.isprintable()
    assert len(read.resource) <= 128


@given(st.text())
def test_other_peoples_descriptions_are_left_whole(text: str) -> None:
    """A description without our line has no mark, and nothing of it is cut."""
    if "Managed by Pulumi: resource" not in text:
        assert ownership.split(text, VM, "s") == (text, None)


@given(st.text(), st.text(), st.text())
def test_a_copied_line_is_no_mark_of_another_vms_snapshot(vm: str, name: str, new_name: str) -> None:
    """The line counts on the snapshot it was made for; renamed it is told apart; on another VM it is text."""
    owner = ownership.new_owner(URN)
    stored = ownership.describe("text", owner, vm, name)
    proof = [
        found[1] and found[1].proof
        for found in (ownership.split(stored, vm, one) for one in (name, new_name))
    ]
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", new_name)
    assert proof == ["exact", "exact" if same else "renamed"]
    assert ownership.split(stored, vm + "2", name) == (stored, None)


def test_a_line_of_the_last_release_is_read() -> None:
    """Release 0.1.0 wrote lines without the third part; so are those of a VM whose identity isn't known."""
    mark = "0123456789ab-01234567"
    stored = f"before 42\nManaged by Pulumi: resource before-release, stack shop/dev, mark {mark}"
    text, line = ownership.split(stored, VM, "s")
    assert (text, line and (str(line.mark), line.proof)) == ("before 42", (mark, "none"))


def test_the_line_tells_a_person_what_made_it() -> None:
    """Somebody who reads vCenter learns the resource, the project and the stack."""
    stored = ownership.describe(
        "before 42", ownership.Owner(URN, ownership.OwnerRef("0123456789ab", "01234567")), VM, "s"
    )
    assert stored == (
        "before 42\nManaged by Pulumi: resource before-release, stack shop/dev, "
        "mark 0123456789ab-01234567-5efa9e0a5c8d728a"
    )


def test_each_making_has_a_mark_of_its_own_and_the_same_maker() -> None:
    """Two snapshots of one resource share the maker and differ in the making."""
    one, two = ownership.new_owner(URN).mark, ownership.new_owner(URN).mark
    assert one.owner == two.owner == ownership.owner_id(URN)
    assert one.generation != two.generation


def test_a_line_without_a_state_is_read() -> None:
    """Earlier builds, and engines that don't tell a provider its id, leave that part out."""
    for state in (None, ownership.state_key("0b9f7c06-6f7e-4c56-a7c6-1d6a3f0c5a11")):
        owner = ownership.new_owner(URN, state)
        _, line = ownership.split(ownership.describe("text", owner, VM, "s"), VM, "s")
        assert line is not None
        assert (line.mark, line.proof) == (owner.mark, "exact")
        assert ownership.parse_mark(str(owner.mark)) == owner.mark


def test_a_mark_tells_its_state_or_does_not() -> None:
    """What isn't known is neither the same nor another."""
    one, other = ownership.state_key("one"), ownership.state_key("other")
    mark = ownership.new_owner(URN, one).mark
    asked = (one, other, ownership.NEW_STATE, None)
    assert [ownership.is_same_state(mark, state) for state in asked] == [True, False, False, None]
    without = ownership.new_owner(URN).mark
    assert {ownership.is_same_state(without, state) for state in asked} == {None}
