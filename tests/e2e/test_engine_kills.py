"""The real engine dies at random instants of an update: the next one ends with everything done once.

`ENGINE_KILLS_COUNT=20 KILLS_SEED=7` runs as many, drawn by another seed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from devkit.processes import alive
from devkit.waiting import until
from tests.e2e.conftest import new_stack, revert, snapshot
from tests.e2e.killing import plugins_of
from tests.environment.rolling import label
from tests.support.client import Client
from tests.support.samples import sample
from tests.support.simulator import Marks, Simulator

# Kills that met an update.
COUNT = sample("ENGINE_KILLS_COUNT", few=1, full=2)
SEED = os.environ.get("KILLS_SEED", "1")
# Seconds that each task takes, and within which from the first call that changes something a kill comes.
TASK: Final = 0.3
WITHIN: Final = 1.2
MARKS: Final[tuple[Marks, ...]] = ("suffixed", "exact", "none", "nothing")
# What an update says that can't know what an interrupted one did.
REFUSED: Final = "is not known, so nothing was done now"
VMS: Final = ("web-1", "web-2")


@dataclasses.dataclass(frozen=True)
class Life:
    """What an update is asked to do on `web-1` and `web-2`, which have the snapshots `base` and `L1`.

    Attributes:
        asked: The resource.
        method: The call with which it begins to change something.
        done: What is done to both VMs together.
        before: What the resource was; None: there was none.
    """

    asked: dict[str, Any]
    method: str
    done: Mapping[str, int]
    before: dict[str, Any] | None = None


def environment(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource about both VMs, one after the other."""
    members = [{"vmName": vm, "order": order} for order, vm in enumerate(VMS)]
    return {"type": f"vmsnapshot:{kind}", "properties": {"virtualMachines": members, **properties}}


LIVES: Final = (
    Life(snapshot(name="ours"), "CreateSnapshotEx_Task", {"create": 1}),
    Life(environment("EnvironmentCheckpoint", label="new"), "CreateSnapshotEx_Task", {"create": 2}),
    Life(revert(snapshot="base"), "RevertToSnapshot_Task", {"revert": 1}),
    Life(
        revert(snapshot="base", safetySnapshot={"name": "lost"}),
        "CreateSnapshotEx_Task",
        {"create": 1, "revert": 1},
        revert(),
    ),
    Life(environment("EnvironmentRollback", to="L1"), "RevertToSnapshot_Task", {"revert": 2}),
    Life(
        environment("EnvironmentRollback", to="L1", safetySnapshot=True),
        "CreateSnapshotEx_Task",
        {"create": 2, "revert": 2},
        environment("EnvironmentRollback"),
    ),
)


class Kills:
    """Kills of engines against one simulator, each with a stack of its own."""

    def __init__(self, vsphere: Simulator, client: Client, folder: Path) -> None:
        self._vsphere, self._client, self._folder = vsphere, client, folder

    def _done(self) -> Counter[str]:
        return Counter(item["op"] for item in self._vsphere.history() if item["op"] in {"create", "revert"})

    def run(self, number: int, life: Life, marks: Marks, after: float, *, at_home: bool) -> bool:
        """Kill once, run the update again, and judge; whether the kill met the update."""
        for vm in VMS:
            self._client.wait(self._client.vm(vm).RemoveAllSnapshots_Task())
            self._client.take(vm, "base")
        label(self._client, "L1", VMS)
        self._vsphere.keep_marks(marks)
        stack = new_stack(self._folder / f"stack-{number}", self._vsphere)
        stack.environment["XDG_STATE_HOME"] = str(self._folder / f"machine-{number}")
        try:
            if life.before is not None:
                stack.write({"resources": {"it": life.before}})
                stack.up().check()
            stack.write({"resources": {"it": life.asked}})
            before = self._done()
            self._vsphere.reset_calls()
            engine = stack.start("up", "--yes", "--skip-preview")
            until(
                lambda: self._vsphere.calls().get(life.method) or engine.process.poll() is not None,
                seconds=180,
            )
            assert self._vsphere.calls().get(life.method), engine.text
            time.sleep(after)
            met = engine.process.poll() is None
            plugins = plugins_of(engine)
            engine.kill()
            engine.wait()
            until(lambda: not any(alive(process) for process in plugins), seconds=120)
            stack.run("cancel", "--yes")  # the killed engine's lock on the state
            if not at_home:
                stack.environment["XDG_STATE_HOME"] = str(self._folder / f"another-{number}")
            again = stack.up()
            done = self._done() - before
            if not again.ok and marks in {"none", "nothing"} and REFUSED in " ".join(again.text.split()):
                assert done["revert"] <= life.done["revert"], f"refused after {done}"
                return met
            again.check()
            assert done["revert"] == life.done.get("revert", 0), str(done)
            # What a failed or interrupted run has taken may be removed, and taken again.
            assert done["create"] == life.done.get("create", 0) or life.done["create"] == 2, str(done)
            stack.run("preview", "--expect-no-changes").check()
        finally:
            stack.close()
        return met


@pytest.mark.timeout(3600)
def test_kills_of_the_real_engine(
    vsphere: Simulator, client: Client, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """By the server's own history nothing is done twice or left undone, and the next preview is empty."""
    vsphere._ask("POST", "/task-duration", {"ms": int(TASK * 1000)})
    chance = random.Random(f"{SEED} engine")
    kills = Kills(vsphere, client, tmp_path)
    survived, number = 0, 0
    violated: list[str] = []
    while survived + len(violated) < COUNT:
        number += 1
        life, marks = chance.choice(LIVES), chance.choice(MARKS)
        after, at_home = chance.random() * WITHIN, chance.random() < 0.5
        told = f"{number}: {life.asked['type']} {dict(life.done)}, {after:.2f} s, {marks}, at home {at_home}"
        try:
            survived += kills.run(number, life, marks, after, at_home=at_home)
        except Exception as error:  # noqa: BLE001 - all are told together
            violated.append(f"{told}: {type(error).__name__}: {error}")
    record_property("kills: survived", survived)
    record_property("kills: violated", len(violated))
    assert not violated, f"seed {SEED}:\n" + "\n".join(violated)
