"""The parts that checkpoints and rollbacks are made of."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmsnapshot.lifecycle.common.marks import checkpoint_owner, snapshot_name
from vmsnapshot.lifecycle.common.members import waves
from vmsnapshot.lifecycle.common.parallel import AT_ONCE, aggregate_errors, parallel_map, partition
from vmsnapshot.lifecycle.common.platforms import VM_OPERATOR, VSPHERE
from vmsnapshot.lifecycle.common.safety import SafetySnapshots, SafetySpec
from vmsnapshot.lifecycle.errors import (
    Busy,
    Cancelled,
    Denied,
    InvalidInput,
    PlatformError,
    Refused,
    VmsnapshotError,
)
from vmsnapshot.lifecycle.operation import Cancellation, Operation
from vmsnapshot.model.environment import LABEL_LIMIT, EnvironmentMember
from vmsnapshot.model.identity import VirtualMachineIdentity
from vmsnapshot.model.machine import Machine, VirtualMachine
from vmsnapshot.model.snapshot import NAME_LIMIT


def vm(name: str) -> VirtualMachine:
    """A VM without anything."""
    return VirtualMachine(identity=VirtualMachineIdentity(id=name, name=name), machine=Machine())


LABELS = st.text(min_size=1, max_size=LABEL_LIMIT)


@example(name="web-1", label="1. (b)..c-.d")
@given(name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True), label=LABELS)
def test_a_name_that_the_vm_operator_takes(name: str, label: str) -> None:
    """Whatever the label, the snapshot's name is fit, and short enough for vSphere behind it."""
    made = snapshot_name(VM_OPERATOR, vm(name), label)
    assert VM_OPERATOR.name_error(made) is None
    assert all(part[0].isalnum() and part[-1].isalnum() for part in made.split("."))
    assert len(made) <= NAME_LIMIT


def test_a_safety_snapshot_of_a_vm_with_a_long_name() -> None:
    """Its name is short enough for vSphere, which takes no longer one."""
    session: Any = SimpleNamespace(platform=VM_OPERATOR, state=None)
    safety = SafetySnapshots(session, "urn:pulumi:dev::shop::x::web", SafetySpec("rollback"))
    assert len(safety._name(vm("a" * 63), "request")) <= NAME_LIMIT


def test_names_that_must_differ_do() -> None:
    """Labels that the platform's rules would make the same stay apart, and so do two VMs' snapshots."""
    names = {
        snapshot_name(VM_OPERATOR, vm("web-1"), label) for label in ("v1.0", "V1.0", "v1/0", "v1-0", "ü", "ö")
    }
    assert len(names) == 6
    assert snapshot_name(VM_OPERATOR, vm("web-1"), "v1.0") == "web-1-v1.0"
    assert snapshot_name(VSPHERE, vm("web-1"), "Release 41/β") == "Release 41/β"


def test_every_environment_marks_a_label_alike() -> None:
    """The mark's second half is the label, whoever makes it: a rollback finds it by that."""
    one, other = (checkpoint_owner(f"urn:pulumi:dev::shop::a:b:C::{name}", "v1") for name in ("x", "y"))
    assert one.mark.generation == other.mark.generation
    assert one.mark.owner != other.mark.owner


def test_waves() -> None:
    """By order, whatever the list's; within a wave as listed."""
    members = [
        EnvironmentMember(vm_name=name, order=order) for name, order in (("a", 2), ("b", -1), ("c", 2))
    ]
    assert [[item.vm_name for item in wave] for wave in waves(members)] == [["b"], ["a", "c"]]
    assert [[item.vm_name for item in wave] for wave in waves(members, descending=True)] == [
        ["a", "c"],
        ["b"],
    ]


def test_each_is_worked_on_for_itself() -> None:
    """One's failure is that one's outcome; the line counts those that are done, and goes up to all."""
    lines: list[str] = []
    operation = Operation("all", progress=lines.append)

    def act(key: str, number: int, part: Operation) -> int:
        if number == 1:
            raise Busy(part.what)
        return number * 10

    outcomes = parallel_map({"a": 0, "b": 1, "c": 2}, act, operation, "counting", before=4, of=6)
    done, failed = partition(outcomes)
    assert (list(outcomes), done) == (["a", "b", "c"], {"a": 0, "c": 20})
    assert str(failed["b"]) == 'counting: VM "b". Trying again may help.'
    assert lines[-1] == "counting: 6 of 6 VMs"


def test_all_at_once_up_to_a_limit() -> None:
    """As many work at the same time as there are, up to the limit; the rest waits its turn."""
    everybody = threading.Barrier(AT_ONCE)
    keys = {str(number): None for number in range(2 * AT_ONCE)}
    outcomes = parallel_map(keys, lambda _key, _item, _part: everybody.wait(30), Operation("all"), "meeting")
    assert sorted(partition(outcomes)[0].values()) == sorted([*range(AT_ONCE), *range(AT_ONCE)])


def test_nothing_is_begun_after_a_cancellation() -> None:
    """Neither after the time is over: each says so for itself."""
    cancellation = Cancellation()
    cancellation.cancel()
    begun: list[str] = []
    operation = Operation("all", cancellation=cancellation)
    outcomes = parallel_map({"a": None}, lambda key, _item, _part: begun.append(key), operation, "trying")
    assert isinstance(outcomes["a"], Cancelled)
    late = Operation("all", timeout=timedelta(0))
    assert not partition(
        parallel_map({"a": None}, lambda key, _item, _part: begun.append(key), late, "trying")
    )[0]
    assert begun == []


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([Denied("no"), Denied("no")], Denied),
        ([Denied("no"), Refused("no")], PlatformError),
        ([Cancelled("stop"), Refused("no")], Cancelled),
        ([InvalidInput("vmName", "no")], PlatformError),
    ],
)
def test_one_error_for_many(errors: list[VmsnapshotError], kind: type[VmsnapshotError]) -> None:
    """It names all with their causes; trying again helps only where it helps every one."""
    failures = {f"web-{number}": error for number, error in enumerate(errors)}
    error = aggregate_errors("taking it:", failures, "Nothing is left.")
    assert type(error) is kind
    assert all(f"- {key}: {item.message}" in error.message for key, item in failures.items())
    assert error.message.endswith("Nothing is left.")
    assert error.retryable == all(item.retryable for item in errors)
