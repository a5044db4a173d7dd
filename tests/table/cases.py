"""The lives of resources that go alike on every platform and through every frontend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.table.life import REVERT, SNAPSHOT, THEIRS, Case, Do, Turn


def take(name: str, *, memory: bool = False) -> Do:
    """Somebody takes a snapshot."""
    return lambda world, vm: world.take(vm, name, memory=memory)


def remove(name: str) -> Do:
    """Somebody removes a snapshot."""
    return lambda world, vm: world.remove(vm, name)


def edit(snapshot: str, **changes: str) -> Do:
    """Somebody changes a snapshot."""
    return lambda world, vm: world.edit(vm, snapshot, **changes)


def power(*, on: bool) -> Do:
    """Somebody switches the VM on or off."""
    return lambda world, vm: world.power(vm, on=on)


def cpus(count: int) -> Do:
    """Somebody changes the VM's CPUs."""
    return lambda world, vm: world.set_cpus(vm, count)


def created(**properties: Any) -> Turn:
    """A snapshot that is taken."""
    given: dict[str, Any] = {"name": properties.get("name")} if "name" in properties else {}
    return Turn(properties, done=("create",), state=given | {"current": True})


def after(turn: Turn, **changes: Any) -> Callable[..., Turn]:
    """What comes after a turn: its properties with these changes."""
    properties = turn.properties | changes
    return lambda **expected: Turn(properties, **{"op": "update", "paths": frozenset(changes), **expected})


def snapshot(name: str, why: str, *turns: Turn, **more: Any) -> Case:
    """A snapshot's life."""
    return Case(name, why, SNAPSHOT, turns, **{"deleted": ("remove",), **more})


NAMED = created(name="ours", description="first")
BASE = created(name="base")

SNAPSHOTS = (
    snapshot(
        "least",
        "A VM is all that a snapshot needs; its name is made up and kept.",
        dataclasses.replace(
            created(), state={"current": True, "quiesced": False, "powerState": "PoweredOff"}
        ),
    ),
    snapshot(
        "told",
        "Lines, nested values and nulls in what a user writes show no change afterwards.",
        created(name="n", description="two\nlines", triggers={"a": [1, {"b": None}]}),
    ),
    snapshot(
        "quiet",
        "A duration may be written in more than one way; the guest is quiesced.",
        dataclasses.replace(created(quiesce={"timeout": "10min"}), state={"quiesced": True}),
    ),
    snapshot(
        "described",
        "A description changes in place.",
        NAMED,
        after(NAMED, description="second")(done=("edit",), state={"description": "second"}),
    ),
    snapshot(
        "put back",
        "What somebody else changed shows in a refresh, and the next update changes it back.",
        NAMED,
        Turn(
            NAMED.properties,
            does=(edit("ours", description="other words"),),
            refreshed=frozenset({"description"}),
            op="update",
            paths=frozenset({"description"}),
            done=("edit",),
            state={"description": "first"},
        ),
    ),
    snapshot(
        "children kept",
        "A delete leaves the snapshots below it unless it is told otherwise.",
        BASE,
        before_delete=(take("child"),),
        left=("child",),
    ),
    snapshot(
        "below another",
        "Its place is told, and a snapshot that isn't ours stays when ours is deleted.",
        dataclasses.replace(
            created(name="ours"),
            does=(take("root"),),
            state={"path": "root/ours", "parent": {"name": "root", "type": THEIRS}},
        ),
        left=("root",),
    ),
)

WATCH = Turn({}, state={"revertedTo": None})
ASK = Turn(
    {"snapshot": "base"},
    op="update",
    done=("revert",),
    state={"snapshot": "base", "currentSnapshot": {"name": "base", "type": THEIRS}, "conditions": []},
    says='will be reverted to snapshot "base"',
)
AT_ONCE = dataclasses.replace(ASK, op="create", does=(take("base"),))


def revert(name: str, why: str, *turns: Turn, **more: Any) -> Case:
    """A revert's life; the snapshot it goes back to stays."""
    return Case(name, why, REVERT, turns, **{"left": ("base",), **more})


REVERTS = (
    revert(
        "watched",
        "Without a snapshot, a VM is watched and nothing is reverted, whatever becomes of it.",
        WATCH,
        Turn({}, op="same", does=(cpus(8), take("base")), machine=(True, 8)),
    ),
    revert(
        "asked at once",
        "A new resource that asks reverts at once; others' snapshots after it are no request.",
        AT_ONCE,
        dataclasses.replace(
            ASK,
            op="same",
            done=(),
            says="",
            does=(power(on=True), take("newer")),
            state={"currentSnapshot": {"name": "newer", "type": THEIRS}},
        ),
        left=("base", "base/newer"),
    ),
    *(
        revert(
            f"power: {policy} of a snapshot {'with' if memory else 'without'} memory",
            "After the revert the power is what the snapshot or the policy says.",
            dataclasses.replace(
                AT_ONCE,
                properties={"snapshot": "base", "powerPolicy": policy},
                does=(take("base", memory=memory),),
                machine=(on, 2),
            ),
        )
        for policy, memory, on in (
            ("snapshot", False, False),
            ("snapshot", True, True),
            ("on", False, True),
            ("off", True, False),
        )
    ),
    revert(
        "power alone",
        "Another power policy is no request.",
        AT_ONCE,
        Turn(
            {"snapshot": "base", "powerPolicy": "off"},
            op="update",
            paths=frozenset({"powerPolicy"}),
        ),
    ),
    revert(
        "to the current snapshot",
        "A dot is the snapshot that the VM runs on when it is asked for; a newer one is no request.",
        dataclasses.replace(
            ASK,
            properties={"snapshot": "."},
            op="create",
            does=(take("base"), cpus(8)),
            state={"snapshot": ".", "currentSnapshot": {"name": "base", "type": THEIRS}},
            machine=(False, 2),
        ),
        Turn({"snapshot": "."}, op="same", does=(cpus(4), take("newer")), machine=(False, 4)),
        Turn(
            {"snapshot": ".", "triggers": {"again": 1}},
            op="update",
            does=(cpus(8),),
            done=("revert",),
            says='will be reverted to snapshot "base/newer"',
            machine=(False, 4),
        ),
        left=("base", "base/newer"),
    ),
    revert(
        "kept safe",
        "The state that a revert loses is kept in a snapshot below where the VM was.",
        dataclasses.replace(
            AT_ONCE,
            properties={"snapshot": "base", "safetySnapshot": {"name": "lost"}},
            done=("create", "revert"),
        ),
        left=("base", "base/lost"),
    ),
)

COMMON = (*SNAPSHOTS, *REVERTS)
