"""The lives of resources that are another on each platform, and what a platform refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.table.cases import (
    ASK,
    BASE,
    NAMED,
    WATCH,
    after,
    cpus,
    created,
    edit,
    revert,
    snapshot,
    take,
)
from tests.table.life import CLONE, OTHER_VM, REHEARSAL, REVERT, SNAPSHOT, Case, Refusal, Turn
from vmsnapshot.lifecycle.common.marks import checkpoint_owner
from vmsnapshot.lifecycle.ownership import describe
from vmsnapshot.lifecycle.requests import Properties


def whole(name: str) -> Case:
    """One whose name is as unusual as it may be."""
    taken = dataclasses.replace(created(name=name, memory=True), state={"powerState": "PoweredOn"})
    return snapshot("whole", "Memory is captured; the name is what the platform allows.", taken)


def replaced(change: str, properties: Properties, done: tuple[str, ...], **more: Any) -> Case:
    """One that becomes another."""
    turn = after(BASE, **properties)(
        op="replace", done=done, state={"name": "base"}, says="is deleted and can't be brought back"
    )
    why = "What was captured can't change: a new snapshot is taken, and the old one removed."
    return snapshot(f"replaced for {change}", why, BASE, turn, **more)


def asked(first: set[str], again: set[str]) -> Case:
    """A revert that is asked for twice, with what a preview shows of each."""
    return revert(
        "asked",
        "A revert is done when it is asked for, never again for the same inputs, again for a new trigger.",
        dataclasses.replace(WATCH, does=(take("base"),)),
        dataclasses.replace(ASK, does=(cpus(8),), paths=frozenset(first), machine=(False, 2)),
        dataclasses.replace(ASK, op="same", done=(), says="", does=(cpus(4),), machine=(False, 4), state={}),
        dataclasses.replace(
            ASK,
            properties={"snapshot": "base", "triggers": {"try": 2}},
            paths=frozenset(again),
            machine=(False, 2),
        ),
        Turn({}, op="update"),
    )


def clone(name: str, why: str, *turns: Turn, **more: Any) -> Case:
    """A clone's life; the snapshot that it is made from stays."""
    return Case(name, why, CLONE, turns, **{"left": ("base",), **more})


CLONED = Turn(
    {"snapshot": "base", "name": "the clone"},
    does=(take("base"), cpus(8)),
    done=("clone",),
    state={"linked": True, "powerState": "PoweredOff", "isolated": False},
    says="A linked clone",
)
CLONES = (
    clone(
        "cloned",
        "A clone is made once; the VM that it is made from stays as it is; it changes in place.",
        CLONED,
        Turn(CLONED.properties, op="same", does=(cpus(4),), machine=(True, 4)),
        Turn(
            {**CLONED.properties, "powerOn": True, "numCPUs": 4, "isolated": True},
            op="update",
            paths=frozenset({"powerOn", "numCPUs", "isolated"}),
            state={"powerState": "PoweredOn", "isolated": True},
        ),
        Turn(
            {"snapshot": "base", "name": "another name of a clone"},
            op="update",
            state={"powerState": "PoweredOff", "name": "another name of a clone"},
        ),
    ),
    clone(
        "cloned from another snapshot",
        "Another snapshot makes a new clone, and the old one is deleted; another spelling doesn't.",
        CLONED,
        Turn(
            {**CLONED.properties, "snapshot": "base/newer"},
            op="replace",
            does=(take("newer"),),
            done=("clone",),
            says="is switched off and deleted",
            state={"linked": True},
        ),
        Turn({**CLONED.properties, "snapshot": "newer"}, op="update", paths=frozenset({"snapshot"})),
        left=("base", "base/newer"),
    ),
    clone(
        "copied whole",
        "A full clone is a VM of its own.",
        dataclasses.replace(
            CLONED,
            properties={**CLONED.properties, "linked": False, "memoryMB": 1024},
            state={"linked": False},
            says="whole copies of disks",
        ),
    ),
)

# What a checkpoint of another stack has written into its snapshot's description.
_CHECKPOINT = "urn:pulumi:prod::shop::vmsnapshot:index:EnvironmentCheckpoint::nightly"
_MARKED = describe("", checkpoint_owner(_CHECKPOINT, "nightly"), None, "nightly")
REHEARSED = Turn(
    {"to": "nightly"},
    does=(lambda world, vm: world.take(vm, "nightly", description=_MARKED), cpus(8)),
    done=("clone",),
    state={"passed": True, "clones": {}},
    says='1 VM will be cloned from "nightly"',
    machine=(True, 8),
)
REHEARSALS = (
    Case(
        "rehearsed",
        "A checkpoint is tried with a clone, once for each change; the VM stays as it is, nothing is left.",
        REHEARSAL,
        (
            REHEARSED,
            Turn(REHEARSED.properties, op="same", does=(cpus(4), take("newer")), machine=(True, 4)),
            dataclasses.replace(
                REHEARSED,
                properties={"to": "nightly", "triggers": {"night": 2}},
                does=(),
                op="update",
                paths=frozenset({"triggers"}),
                says="",  # a dynamic provider isn't asked for a preview of an update
                machine=(True, 4),
            ),
            Turn(
                {"to": "nightly", "triggers": {"night": 2}, "keepClones": "onFailure"},
                op="update",
                paths=frozenset({"keepClones"}),
                state={"passed": True},
            ),
        ),
        left=("nightly", "nightly/newer"),
    ),
    Case(
        "rehearsed, with clones that stay",
        "Clones stay as long as they are to be kept; when nobody keeps them any more, nothing is rehearsed.",
        REHEARSAL,
        (
            dataclasses.replace(
                REHEARSED,
                properties={"to": "nightly", "keepClones": "always"},
                state={"passed": True, "failure": None},
            ),
            Turn(
                REHEARSED.properties,
                op="update",
                paths=frozenset({"keepClones", "clones"}),
                state={"passed": True, "clones": {}},
            ),
        ),
        left=("nightly",),
    ),
)

# While it was made, the new one stood below the old one.
_MOVED_UP = frozenset({"path", "parent", "storage"})
ON_VSPHERE = (
    whole("リリース 41 αβγ é"),
    snapshot(
        "renamed",
        "A name and a description change in place, with one call.",
        NAMED,
        after(NAMED, name="two", description="second")(
            done=("edit",), state={"name": "two", "description": "second", "path": "two"}
        ),
    ),
    snapshot(
        "named back",
        "What somebody else renamed shows in a refresh, and the next update changes it back.",
        NAMED,
        Turn(
            NAMED.properties,
            does=(edit("ours", name="theirs"),),
            refreshed=frozenset({"name", "path"}),
            op="update",
            paths=frozenset({"name"}),
            done=("edit",),
            state={"name": "ours", "path": "ours"},
        ),
    ),
    replaced("another VM", {"vmName": OTHER_VM}, ("remove", "create")),
    replaced(
        "memory and quiesce", {"memory": True, "quiesce": {}}, ("create", "remove"), refreshed=_MOVED_UP
    ),
    replaced("triggers", {"triggers": {"again": 1}}, ("create", "remove"), refreshed=_MOVED_UP),
    snapshot(
        "settings of the delete",
        "What only a delete looks at changes without a call.",
        BASE,
        after(BASE, childPolicy="refuse", consolidate=False)(
            done=(), state={"childPolicy": "refuse", "consolidate": False}
        ),
    ),
    snapshot(
        "children removed",
        "A delete removes the snapshots below it when it is told to.",
        created(name="base", childPolicy="remove"),
        before_delete=(take("child"),),
    ),
    asked({"snapshot", "machine.numCPUs", "machine.powerState"}, {"triggers", "machine.numCPUs"}),
    *CLONES,
    *REHEARSALS,
)

ON_THE_VM_OPERATOR = (
    whole("release-41.a"),
    snapshot(
        "renamed",
        "A name can't change, and two names can be there at once.",
        NAMED,
        after(NAMED, name="two", description="second")(
            op="replace",
            done=("create", "remove"),
            state={"name": "two", "description": "second"},
            says="is deleted and can't be brought back",
        ),
        refreshed=_MOVED_UP - {"storage"},
    ),
    # Two of one name can't be there at once.
    replaced("another VM", {"vmName": OTHER_VM}, ("remove", "create")),
    replaced("memory and quiesce", {"memory": True, "quiesce": {}}, ("remove", "create")),
    replaced("triggers", {"triggers": {"again": 1}}, ("remove", "create")),
    snapshot(
        "settings of the delete",
        "What only a delete looks at changes without a call.",
        BASE,
        after(BASE, childPolicy="refuse")(done=(), state={"childPolicy": "refuse"}),
    ),
    # What the VM was when others took a snapshot of it isn't known.
    asked({"snapshot", "machine.powerState", "machine.notKnown"}, {"triggers", "machine.notKnown"}),
)


REFUSED_ON_VSPHERE = (
    Refusal(SNAPSHOT, {"namespace": "shop"}, "namespace", "vSphere has no namespaces"),
    Refusal(REVERT, {"namespace": "shop"}, "namespace", "vSphere has no namespaces"),
    Refusal(SNAPSHOT, {"cleanupOnFail": False}, "cleanupOnFail", "doesn't go on trying"),
    Refusal(REHEARSAL, {"to": "a" * 64}, "to", "at most 63"),
    Refusal(CLONE, {"snapshot": "base", "name": "a%b"}, "name", "can't have % in it"),
)
REFUSED_ON_THE_VM_OPERATOR = (
    Refusal(CLONE, {"namespace": None, "snapshot": "base"}, "vmName", "its API has no such request"),
    Refusal(REHEARSAL, {"to": "nightly"}, "virtualMachines", "its API has no such request"),
    Refusal(SNAPSHOT, {"name": "Release 41"}, "name", "can't be the name of a Kubernetes object"),
    Refusal(SNAPSHOT, {"childPolicy": "remove"}, "childPolicy", "can't remove a snapshot's children"),
    Refusal(SNAPSHOT, {"consolidate": False}, "consolidate", "always consolidates the disks"),
    Refusal(
        REVERT,
        {"safetySnapshot": {"name": "A B"}, "snapshot": "base"},
        "safetySnapshot.name",
        "Kubernetes",
    ),
)
