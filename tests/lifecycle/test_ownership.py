"""The ownership line: read back as written, and hidden from users."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmsnapshot.lifecycle import ownership

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before-release"


@given(st.text(), st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_users_see_their_text_and_we_see_the_mark(text: str, name: str) -> None:
    """A stored description splits into exactly the user's text and the mark it was made with."""
    urn = f"urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::{name}"
    owner = ownership.new_owner(urn)
    found, read = ownership.split(ownership.describe(text, owner))
    assert read is not None
    assert (found, read.mark) == (text, owner.mark)
    assert read.resource.isprintable()
    assert len(read.resource) <= 128


@given(st.text())
def test_other_peoples_descriptions_are_left_whole(text: str) -> None:
    """A description without our line has no mark, and nothing of it is cut."""
    if "Managed by Pulumi: resource" not in text:
        assert ownership.split(text) == (text, None)


def test_the_line_tells_a_person_what_made_it() -> None:
    """Somebody who reads vCenter learns the resource, the project and the stack."""
    stored = ownership.describe(
        "before 42", ownership.Owner(URN, ownership.OwnerRef("0123456789ab", "01234567"))
    )
    assert stored == (
        "before 42\nManaged by Pulumi: resource before-release, stack shop/dev, mark 0123456789ab-01234567"
    )


def test_each_making_has_a_mark_of_its_own_and_the_same_maker() -> None:
    """Two snapshots of one resource share the maker and differ in the making."""
    one, two = ownership.new_owner(URN).mark, ownership.new_owner(URN).mark
    assert one.owner == two.owner == ownership.owner_id(URN)
    assert one.generation != two.generation
