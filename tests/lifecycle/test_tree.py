"""The snapshot tree as a person draws it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.lifecycle.trees import NOW, chain, machine, snapshot
from vmsnapshot.lifecycle.common.tree import WIDTH, columns, draw_tree
from vmsnapshot.model.machine import VirtualMachine


def test_branches_target_and_here_are_drawn() -> None:
    """Branches hang below their parent; the target and the current one are marked."""
    vm = machine(
        snapshot("base", days=3),
        snapshot("release-41", "id:base", days=2),
        snapshot("release-42", "id:release-41"),
        snapshot("try", "id:base", days=0.5),
        current="id:release-42",
    )
    assert draw_tree(vm, NOW, target="id:release-41") == [
        "base (Unmanaged, 3 days old)",
        "├─ release-41 (Unmanaged, 2 days old) <== target",
        "│  └─ release-42 (Unmanaged, 1 day old) <== you are here",
        "└─ try (Unmanaged, 12 hours old)",
    ]


def test_the_middle_of_a_deep_chain_is_left_out() -> None:
    """Of 32 levels, the roots and what lies near target and current stay, the rest is counted."""
    vm = chain(32)
    lines = draw_tree(vm, NOW, target="id:s15")
    assert [line.strip("└─ ").partition(" (")[0] for line in lines] == [
        "s1",
        "s2",
        "… 10 not shown …",
        *("s13", "s14", "s15", "s16"),
        "… 13 not shown …",
        *("s30", "s31", "s32"),
    ]
    assert "<== target" in lines[5]
    assert "<== you are here" in lines[-1]


@st.composite
def trees(draw: st.DrawFn) -> VirtualMachine:
    """Trees of up to 40 snapshots, names of any script, any one current."""
    count = draw(st.integers(1, 40))
    items = []
    for number in range(count):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        name = draw(st.text(min_size=1, max_size=80))
        above = None if parent is None else f"id-{parent}"
        items.append(snapshot(name, above, unique_id=f"id-{number}"))
    return machine(*items, current=f"id-{draw(st.integers(0, count - 1))}")


@given(trees(), st.data())
def test_no_line_is_too_wide_and_the_marks_are_always_there(vm: VirtualMachine, data: st.DataObject) -> None:
    """Whatever the names and the shape: one line each, within the width, both marks shown once."""
    target = data.draw(st.sampled_from([item.id for item in vm.snapshots]))
    lines = draw_tree(vm, NOW, target=target)
    assert max(columns(line) for line in lines) <= WIDTH
    assert sum("<== target" in line for line in lines) >= 1
    assert sum("<== you are here" in line for line in lines) >= 1
    assert all("\n" not in line for line in lines)


@given(trees())
def test_every_snapshot_is_drawn_or_counted(vm: VirtualMachine) -> None:
    """Lines drawn and numbers left out add up to the whole tree."""
    lines = draw_tree(vm, NOW)
    left_out = [int(line.split("… ")[1].split(" ")[0]) for line in lines if line.endswith("not shown …")]
    assert len(lines) - len(left_out) + sum(left_out) == len(vm.snapshots)
