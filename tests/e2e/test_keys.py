"""Keys that are hard to spell in a property path, through the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import revert
from tests.support.client import Client
from tests.support.engine import Stack
from tests.support.simulator import Simulator

CHECKPOINT = "vmsnapshot:EnvironmentCheckpoint"
ROLLBACK = "vmsnapshot:EnvironmentRollback"

# The last two have no spelling at all.
KEYS = [
    'a "b"',
    "C:\\dir",
    "ends\\",
    "\\",
    '\\"',
    "a.b",
    "a[0]",
    "line\nbreak",
    "🚀",
    "été",
    "",
    "*",
    "1",
    "it's",
    "a.b\\",
    "[\\",
]
LABELS = [
    'rel "41"',
    "rel.42",
    "rel[43]",
    "rel\\44",
    "rel-45\\",
    "rel 46 🚀",
    "rel.47\\",
    "rel\nbreak",
    "rel-48",
]
# By their names as the program has them, which vSphere keeps with a backslash escaped.
VMS = {'web "1"': 'web "1"', "web.2[x]": "web.2[x]", "web'3 🚀": "web'3 🚀", "web.4\\": "web.4%5c"}


@pytest.mark.timeout(300)  # twenty commands of the engine
def test_triggers_may_have_any_key(stack: Stack, client: Client) -> None:
    """Each key goes through check, diff, preview, up, refresh and destroy, and shows in previews alone."""
    client.take("web-1", "base")

    def write(triggers: dict[str, int], *ignored: str) -> None:
        resource = revert(snapshot="base", triggers=triggers, options={"ignoreChanges": list(ignored)})
        stack.write({"resources": {"it": resource}})

    write(dict.fromkeys(KEYS, 1))
    stack.up().check()
    assert stack.resource("it")["outputs"]["triggers"] == dict.fromkeys(KEYS, 1)
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()

    write(dict.fromkeys(KEYS, 2))
    assert shown(stack, "~", ": 1 => 2") == set(KEYS)
    stack.up().check()
    assert stack.resource("it")["outputs"]["triggers"] == dict.fromkeys(KEYS, 2)

    for key in ('a "b"', "ends\\", "a.b\\"):
        write({other: 2 for other in KEYS if other != key})
        assert shown(stack, "-", ": 2") == {key}
        write({**dict.fromkeys(KEYS, 2), key: 3})
        assert shown(stack, "~", ": 2 => 3") == {key}

    write({**dict.fromkeys(KEYS, 2), 'a "b"': 3}, r'triggers["a \"b\""]')
    stack.run("preview", "--expect-no-changes").check()
    write(dict.fromkeys(KEYS, 4), "triggers")
    stack.run("preview", "--expect-no-changes").check()
    stack.destroy().check()


def shown(stack: Stack, sign: str, end: str) -> set[str]:
    """The keys of the lines of a preview that begin and end so."""
    return lines(stack.preview().check().text, sign, end)


def lines(text: str, sign: str, end: str) -> set[str]:
    """The keys of the lines of a text that begin and end so."""
    stripped = [line.strip() for line in text.replace("\nbreak", "<newline>break").splitlines()]
    found = {
        line[len(sign) : -len(end)].strip()
        for line in stripped
        if line.startswith(sign) and line.endswith(end)
    }
    return {key.replace("<newline>", "\n") for key in found}


@pytest.mark.timeout(300)  # twenty commands of the engine
def test_labels_may_be_any_text(stack: Stack, client: Client) -> None:
    """Checkpoints under any label are taken, shown, pruned and destroyed; a preview shows no others."""
    made: list[str] = []
    for label in LABELS:
        inputs = {"virtualMachines": [{"vmName": "web-1"}], "label": label, "keepLast": 2}
        stack.write({"resources": {"it": {"type": CHECKPOINT, "properties": inputs}}})
        if len(made) >= 2:
            text = stack.preview().check().text
            assert lines(text, "+", ": {") & set(LABELS) == {label}
            assert lines(text, "-", ": {") & set(LABELS) == {made[-2]}
            assert not lines(text, "~", ": {") & set(LABELS)
        stack.up().check()
        made.append(label)
        assert set(stack.resource("it")["outputs"]["checkpoints"]) == set(made[-2:])
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()
    stack.destroy().check()
    assert client.names("web-1") == []


@pytest.mark.timeout(300)  # twenty commands of the engine
def test_vms_may_have_any_name(stack: Stack, vsphere: Simulator, client: Client) -> None:
    """An environment of VMs of any name is rolled back to a label of any text; the preview shows each VM."""
    for old, name in zip(("web-1", "web-2", "db-1", "db-2"), VMS.values(), strict=True):
        client.wait(client.vm(old).Rename_Task(name))
    members = [{"vmName": name} for name in VMS]
    checkpoint = {"type": CHECKPOINT, "properties": {"virtualMachines": members, "label": LABELS[0]}}
    rollback: dict[str, Any] = {"type": ROLLBACK, "properties": {"virtualMachines": members}}
    stack.write({"resources": {"it": checkpoint, "back": rollback}})
    stack.up().check()
    for name in VMS.values():
        client.reconfigure(name, numCPUs=8)
    rollback["properties"]["to"] = LABELS[0]
    stack.write({"resources": {"it": checkpoint, "back": rollback}})
    text = stack.preview().check().text
    assert text.count("8 => 2") == len(VMS)
    assert all(f"~ {name}" in text for name in VMS)
    stack.up().check()
    assert set(stack.resource("back")["outputs"]["machines"]) == set(VMS)
    assert [client.vm(name).config.hardware.numCPU for name in VMS.values()] == [2, 2, 2, 2]
    stack.run("preview", "--expect-no-changes").check()
    stack.refresh().check()
    stack.destroy().check()
