"""A process that may start no more threads for a moment: what asks for one then fails alone, or goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devkit.waiting import until
from tests.support.plugin import listening
from tests.support.vsphere import operation
from vmsnapshot.backends.vmoperator._changes import ChangeNotifier
from vmsnapshot.backends.vmoperator._informer import Informer
from vmsnapshot.backends.vmoperator._objects import name_of
from vmsnapshot.backends.vsphere import _batcher
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._crowd import Crowd
from vmsnapshot.backends.vsphere._task_watcher import TaskWatcher
from vmsnapshot.frontends.engine._link import Logger
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.errors import Denied


def none_to_be_had(*_: Any) -> None:
    """What Python raises where the system lets a process have no further thread."""
    raise RuntimeError("can't start new thread")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """None can be started until this is undone."""
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_to_be_had)
        yield patched


def test_a_batch_is_answered_without_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leads does it then; those who come later aren't left waiting."""
    batcher: Batcher[int, int] = Batcher("reads", lambda keys: dict.fromkeys(keys, 1))
    with monkeypatch.context() as patched:
        patched.setattr(_batcher, "in_background", none_to_be_had)
        assert batcher.ask(1, operation()) == 1
    assert batcher.ask(2, operation(seconds=20)) == 1


def test_tasks_are_watched_once_a_thread_is_to_be_had(no_threads: pytest.MonkeyPatch) -> None:
    """A task that can't be watched isn't started; the next one is."""
    watcher = TaskWatcher(cast("Any", SimpleNamespace(crowd=Crowd())))
    with pytest.raises(RuntimeError), watcher.starting():
        pass
    no_threads.undo()
    with watcher.starting():
        assert watcher._thread is not None
        assert watcher._thread.is_alive()
    assert watcher._starting == 0
    watcher.close()


def test_objects_are_watched_once_a_thread_is_to_be_had(no_threads: pytest.MonkeyPatch) -> None:
    """The next who needs them begins, and is told what comes of that."""

    def denied(*_: Any) -> Any:
        raise Denied("no permission")

    client = SimpleNamespace(closed=threading.Event(), path=lambda *_: "/vms", list=denied)
    informer = Informer(cast("Any", client), "shop", "vms", ChangeNotifier(lambda: None), name_of)
    with pytest.raises(RuntimeError):
        informer.ready(operation(seconds=5))
    no_threads.undo()
    with pytest.raises(Denied):
        informer.ready(operation(seconds=20))


def test_progress_that_cannot_be_told_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told with the next line."""
    with listening() as (engine, address):
        logger = Logger(Secrets())
        logger.connect(address)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_to_be_had)
            logger.log_status("urn", "first")
        logger.log_status("urn", "second")
        until(lambda: [item.message for item in engine.heard] == ["first", "second"])
        logger.close()
