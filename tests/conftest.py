"""What tests of several folders share, and what the whole run says at its end."""

from __future__ import annotations

import datetime as dt
import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from devkit.kubernetes import ApiServer, running
from devkit.vmoperator import admission
from devkit.vmoperator.conversion import running_newer
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.common import session

# Numbers for the folders in which plugins leave notes for each other.
_STATES = itertools.count()

# Under these names, tests record how much they did; what is printed of it in the end.
COUNTS = {
    "reverts compared": "fidelity: {} reverts compared with their previews",
    "histories": "identity: {} histories of changing fleets",
    "rollbacks": "identity: {} VMs rolled back in them",
    "histories of clones": "clones: {} histories of clones and rehearsals",
    "histories of objects": "VM Operator: {} histories",
    "faults: runs": f"faults: {{}} runs drawn by the seed {os.environ.get('FAULTS_SEED', '1')}",
    "faults: spoiled": "faults: {} exchanges really spoiled",
    "kills: survived": f"kills: {{}} survived, seed {os.environ.get('KILLS_SEED', '1')}",
    "kills: violated": "kills: {} violated",
}

# What is not in the fast half, besides all tests that use an API server: folders and files with the real
# engine, and those that take long without it.
NOT_FAST = (
    "clone",
    "docs/test_code.py",
    "dynamic/test_engine.py",
    "dynamic/test_provider.py",
    "e2e",
    "environment/test_checkpoint.py",
    "environment/test_checkpoint_budget.py",
    "environment/test_checkpoint_engine.py",
    "environment/test_checkpoint_life.py",
    "environment/test_examples.py",
    "environment/test_reverts_budget.py",
    "environment/test_rollback.py",
    "environment/test_rollback_budget.py",
    "environment/test_rollback_engine.py",
    "environment/test_safety_snapshots.py",
    "examples",
    "fidelity",
    "faults",
    "fuzz",
    "identity",
    "lifecycle/test_equal_urns.py",
    "lifecycle/test_interrupted_revert.py",
    "lifecycle/test_late_calls.py",
    "lifecycle/test_task_notes.py",
    "plugin/test_process.py",
    "plugin/test_property_path.py",
    "plugin/test_real_engine.py",
    "rehearsal",
    "sdk",
    "soak",
    "table",
    "vsphere/test_bad_answers.py",
    "vsphere/test_call_counts.py",
    "vsphere/test_silence.py",
)

# The tests that take longest, of each kind the longest first: what waits for half a minute, and what keeps a
# processor busy that long.
WAITING = (
    "e2e/test_interrupted.py::test_a_create_whose_real_engine_is_killed_leaves_one_snapshot",
    "e2e/test_clone.py::test_a_create_whose_real_engine_is_killed_makes_one_clone",
    "e2e/test_rehearsal.py::test_a_rehearsal_whose_real_engine_is_killed",
    "vmoperator/test_engine.py::test_a_killed_engine",
    "e2e/test_cancel.py::test_ctrl_c_cancels_the_snapshot_task",
    "vmoperator/test_environment.py::test_failures_are_taken_back",
    "faults/test_vmoperator.py::test_a_spoiled_exchange",
)
WORKING = (
    "e2e/test_discovery.py::test_installed_from_the_archive_without_python",
    "e2e/test_keys.py",
    "e2e/test_snapshot.py::test_options_of_the_engine",
    "dynamic/test_engine.py",
    "fidelity",
    "soak",
    "vmoperator/test_engine.py",
    "e2e/test_call_budget.py",
    "e2e/test_examples.py",
    "examples",
    "e2e/test_clone.py::test_a_life_of_a_snapshot_and_its_clone",
    "e2e/test_rehearsal.py::test_a_life",
    "identity/test_snapshot.py",
    "plugin/test_real_engine.py",
    "e2e/test_engine_kills.py",
    "sdk",
    "clone/test_histories.py",
    "faults/test_kills.py",
    "identity/test_histories.py",
    "vmoperator/test_histories.py",
)

# How long an example takes says how busy the machine is.
settings.register_profile("vmsnapshot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vmsnapshot")


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor and one more: many tests wait, for other processes or for half a minute."""
    return 2 * (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Where only the fast half runs, let nothing of the other half start."""
    if config.option.markexpr == "fast":
        os.environ["VMSNAPSHOT_TEST_FAST"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast half, which needs no engine and no API server; let each worker begin with long tests."""
    not_fast = [Path(__file__).parent / name for name in NOT_FAST]
    slow = {path for path in {item.path for item in items} if any(map(path.is_relative_to, not_fast))}
    servers = {"api_server", "newer_api_server"}
    for item in items:
        if item.path not in slow and servers.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("fast")
    items[:] = long_ones_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_collection_finish() -> None:
    """What is loaded stays: Python doesn't look through all of it for garbage, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def long_ones_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in an order in which no worker begins a long one when the others have nothing left to do.

    Each worker gets an equal run of the order (and takes from the others when it is done): each of these runs
    begins with its share of the long tests. Of five workers two or three wait then, and the others compute.
    """
    names = [item.nodeid.removeprefix("tests/") for item in items]
    waiting, working = (
        [item for start in starts for item, name in zip(items, names, strict=True) if name.startswith(start)]
        for starts in (WAITING, WORKING)
    )
    by_turns = itertools.chain.from_iterable(itertools.zip_longest(waiting, working))
    long = [item for item in dict.fromkeys(by_turns) if item is not None]
    known = set(long)
    others = iter([item for item in items if item not in known])
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        run = (len(items) - len(ordered)) // (workers - worker)
        first = long[worker::workers]
        ordered += [*first, *itertools.islice(others, max(0, run - len(first)))]
    return [*ordered, *others]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many reverts were compared, histories lived, and faults survived, and how long was fuzzed."""
    done = [
        item
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        for item in report.user_properties
    ]
    for counted, text in COUNTS.items():
        if counts := [value for name, value in done if name == counted]:
            terminalreporter.write_sep("-", text.format(sum(counts)))
    fuzzed = [
        report.duration
        for report in terminalreporter.getreports("passed")
        if report.when == "call" and report.nodeid.startswith("tests/fuzz/")
    ]
    if fuzzed:
        terminalreporter.write_sep("-", f"fuzz: {sum(fuzzed):.0f} s")


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A real API server with the VM Operator's CRDs, and the stand-in for its admission webhooks."""
    assert "VMSNAPSHOT_TEST_FAST" not in os.environ
    with running() as server:
        admission.install(server)
        yield server


@pytest.fixture(scope="module")
def newer_api_server() -> Iterator[ApiServer]:
    """The same with the VM Operator's main: v1alpha6 is stored, v1alpha5 served by a conversion webhook."""
    assert "VMSNAPSHOT_TEST_FAST" not in os.environ
    with running_newer() as server:
        admission.install(server)
        yield server


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the vSphere of the test's folder or module."""
    with other_client(vsphere) as found:
        yield found


@pytest.fixture
def no_time_to_tidy_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tidies up after a failure in this process has no more time than what failed: not half a minute."""
    monkeypatch.setattr(session, "TIDY_UP_AT_LEAST", dt.timedelta())


@pytest.fixture(autouse=True, scope="session")
def notes_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What plugins of a whole module leave is nothing to the next run of the tests on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state-of-modules"))
        yield


@pytest.fixture(autouse=True)
def notes_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plugins leave for each other on this machine is each test's own.

    Other tests have resources of the same URN: what they delete, or are killed in, is nothing to this one.
    """
    folder = tmp_path_factory.getbasetemp() / f"state-{next(_STATES)}"  # made only if something is left
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
