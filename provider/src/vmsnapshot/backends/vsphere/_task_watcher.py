"""Every running task watched by one thread through one WaitForUpdatesEx; nobody polls.

The tasks are members of a list view, and a filter on a property collector of our own (the default
one loses updates when it is shared) reports their changes.  A new task costs its share of one
ModifyListView; those that have ended leave the list with the next one.  Progress is watched, in a
second list, only of tasks that take longer than `PATIENCE`: each step of progress is a call.  With
them their VMs are in it: one that asks a question holds its task up until somebody answers
(vmware/pyvmomi-community-samples issue 55: "may hang at 95%").
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pyVmomi import vim, vmodl

from vmsnapshot.backends._retry import backoff
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._connection import LONGEST_WAIT, Connection, Login
from vmsnapshot.backends.vsphere._faults import Subject
from vmsnapshot.backends.vsphere._objects import object_id, optional_text
from vmsnapshot.backends.vsphere._stub import Stub
from vmsnapshot.backends.vsphere._task_watch import Watch
from vmsnapshot.backends.vsphere._watched_list import watched_list
from vmsnapshot.lifecycle.errors import InvalidInput, PlatformError, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

# Seconds to let further news come before asking again: a share of the time that the longest of
# the running tasks has taken already, so that tasks started together are seen to end together.
_GATHERING: Final = (0.02, 0.25)
_GATHERING_SHARE: Final = 0.2
# The same where all news was progress, which can be told a little later.
_GATHERING_PROGRESS: Final = (0.25, 1.0)
_GATHERING_PROGRESS_SHARE: Final = 0.1
# What part of the time that tasks took of late is let pass before new ones are first asked about.
_SURELY_RUNNING: Final = 0.6
# Seconds that a task counts for which took none by the server's clock: from 0 the usual time can't grow.
_NO_TIME: Final = 1e-6
# How often in a row news may come that can't be decoded. Ours: what a connection has spoiled passes at once,
# and a class that pyVmomi doesn't know comes again each time.
_UNREAD_NEWS: Final = 3
_WATCHED: Final = (
    "info.state",
    "info.result",
    "info.error",
    "info.queueTime",
    "info.completeTime",
    "info.entity",
)
_QUESTION: Final = "runtime.question"


@dataclasses.dataclass
class _Collector:
    """What one session holds on the server for us."""

    login: Login
    collector: Any
    running: Any
    # The wait has a connection of its own, which can be broken.
    stub: Stub
    waiting: Any
    progress: Any = None
    # Whether it has been given a task: before that there is nothing to wait for.
    filled: bool = False
    making_progress: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    version: str = ""


class TaskWatcher:
    """Tells of the tasks that somebody waits for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self._watches: dict[str, Watch] = {}
        # Nobody waits for these any more. They are on the server's list until it is next changed, and the
        # server tells nothing twice: who waits for one again needs what has been told of it.
        self._left: dict[str, Watch] = {}
        # What VMs in the second list ask, which the server tells once, too.
        self._questions: dict[str, str | None] = {}
        # Seconds that the shortest tasks of late took; None: none has told.
        self._usual_time: float | None = None
        self._starting = 0
        self._collector: _Collector | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        # How often in a row news could not be decoded.
        self._unread = 0
        self._members: Batcher[str, None] = Batcher(
            "tasks", self._add_members, connection.crowd, lambda: self._starting > 0
        )
        self._slow: Batcher[str, None] = Batcher("progress", self._add_slow, connection.crowd)

    @contextlib.contextmanager
    def watching(self, task_id: str) -> Iterator[Watch]:
        """Keep a task's watch while somebody waits for it; `add` makes the server tell of it."""
        with self._changed:
            self._ensure_thread()
            watch = self._watches.get(task_id) or self._left.pop(task_id, None) or Watch(task_id)
            self._watches[task_id] = watch
            watch.question = self._questions.get(watch.vm_id)
            watch.waiting += 1
        try:
            yield watch
        finally:
            with self._changed:
                watch.waiting -= 1
                if not watch.waiting:
                    del self._watches[task_id]
                    if watch.failure is None:
                        self._left[task_id] = watch

    def add(self, task_id: str, operation: Operation) -> None:
        """Have the server tell when a task ends."""
        self._members.ask(task_id, operation)

    def add_progress(self, task_id: str, operation: Operation) -> None:
        """Have the server tell a task's progress, too."""
        self._slow.ask(task_id, operation)

    def close(self) -> None:
        """Stop watching and let go of the connection."""
        with self._changed:
            self._closed = True
            collector, self._collector = self._collector, None
            self._changed.notify_all()
        if collector is not None:
            collector.stub.retire(abort=True)

    def usually_within(self, seconds: float) -> bool:
        """Whether the shortest tasks of late took no longer than that."""
        return self._usual_time is not None and self._usual_time <= seconds

    def learn(self, watch: Watch) -> None:
        """Take note of how long a task took."""
        if watch.ended and (took := watch.took) is not None:
            usual = self._usual_time
            self._usual_time = took if usual is None else min(took, 1.1 * max(usual, _NO_TIME))

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Hold added tasks back until one that is being started is about to be added: they are added at once.

        What watches tasks is made meanwhile, if it isn't there yet.
        """
        with self._changed:
            self._ensure_thread()
            self._starting += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._starting -= 1

    # What the server watches for us

    def _add_members(self, task_ids: Sequence[str]) -> Mapping[str, None]:
        with self._changed:
            collector = self._collector
            # One that was given up while it was about to be added is both; it goes with the next change.
            gone = self._left.keys() - set(task_ids)
            for task_id in gone:
                del self._left[task_id]
            # Without a collector the thread is about to make one, with every watch in it.
            self._changed.notify_all()
        if collector is not None:
            self._modify(collector, collector.running, task_ids, gone)
        return dict.fromkeys(task_ids)

    def _add_slow(self, task_ids: Sequence[str]) -> Mapping[str, None]:
        with self._changed:
            collector = self._collector
            # A collector that is made later begins with those that are slow by then.
            slow = [watch for watch in self._watches.values() if watch.task_id in task_ids]
            for watch in slow:
                watch.slow = True
                watch.question = self._questions.get(watch.vm_id)
        if collector is not None:
            self._watch_progress(collector, task_ids)
        return dict.fromkeys(task_ids)

    def _watch_progress(self, collector: _Collector, task_ids: Sequence[str]) -> None:
        try:
            with collector.making_progress:
                if collector.progress is None:
                    # All that the other list tells, too: of a task that left that one and came back at once,
                    # no source says that it is told anew.
                    watched = {vim.Task: (*_WATCHED, "info.progress"), vim.VirtualMachine: (_QUESTION,)}
                    collector.progress = watched_list(collector.login, collector.collector, watched)
        except faults.VENDOR as failure:
            self._lost(collector, failure)
        else:
            with self._changed:
                vms = {watch.vm_id for watch in self._watches.values() if watch.task_id in task_ids}
            self._modify(collector, collector.progress, task_ids, (), vms - {""})

    def _modify(
        self,
        collector: _Collector,
        view: Any,
        add: Iterable[str],
        remove: Iterable[str],
        vms: Iterable[str] = (),
    ) -> None:
        login = collector.login
        try:
            unknown = view.ModifyListView(
                add=[
                    *(login.ref("Task", task_id) for task_id in add),
                    *(login.ref("VirtualMachine", vm_id) for vm_id in vms),
                ],
                remove=[login.ref("Task", task_id) for task_id in remove],
            )
        except faults.VENDOR as failure:
            self._lost(collector, failure)
            return
        with self._changed:
            collector.filled = True
            self._changed.notify_all()
        for task in unknown or ():
            self._tell(object_id(task), None)

    def _lost(self, collector: _Collector, failure: BaseException) -> None:
        """Give a collector up: the thread makes another and adds every running task to it."""
        if faults.is_expired(failure):
            self._connection.expired(collector.login)
        with self._changed:
            if self._collector is collector:
                self._collector = None
            self._changed.notify_all()
        collector.stub.retire(abort=True)

    # The one thread that waits

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._watch, name="vmsnapshot-tasks", daemon=True)
            thread.start()  # counts as there only then: none may be to be had
            self._thread = thread

    def _watch(self) -> None:
        waits = backoff()
        while self._is_needed():
            try:
                pause = self._round()
                waits = backoff()
                self._unread = 0
            except Exception as error:  # noqa: BLE001 - a thread on which all waits depend must not die
                self._recover(error)
                pause = next(waits)
            if pause:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause)

    def _is_needed(self) -> bool:
        """Wait until there is a task to watch, or one being started; False: there never will be."""
        with self._changed:
            if not self._is_watching:
                self._changed.wait_for(lambda: self._closed or self._is_watching or self._is_early)
                if self._is_watching:
                    self._changed.wait_for(lambda: self._closed, self._first_pause)
            return not self._closed

    @property
    def _is_watching(self) -> bool:
        """Whether there is a task that a collector has been given, or that a new one is to be given."""
        return bool(self._watches) and (self._collector is None or self._collector.filled)

    @property
    def _is_early(self) -> bool:
        """Whether a first task is being started, so that it is time to make what watches it."""
        return self._starting > 0 and self._collector is None

    def _round(self) -> float:
        """Wait for news once; the seconds to let further news come."""
        collector = self._collector
        if collector is None:
            collector = self._connection.direct(Subject("watching tasks"), self._make_collector)
            self._begin(collector)
            if self._collector is not collector or not collector.filled:
                return 0.0
        return self._await_news(collector)

    def _recover(self, error: Exception) -> None:
        """Give up what broke; who waits goes on waiting for what passes by itself, within their own time."""
        if isinstance(error, VmsnapshotError):
            if not error.retryable:
                self._fail_all(error)
            return
        if (collector := self._collector) is not None:
            self._lost(collector, error)
        if isinstance(error, faults.VENDOR):
            explained = self._connection.explain(error, Subject("watching tasks"))
            self._unread = self._unread + 1 if isinstance(error, faults.Unintelligible) else 0
            if isinstance(explained, InvalidInput) or self._unread == _UNREAD_NEWS:
                self._unread = 0
                self._fail_all(explained)
        else:
            text = f"watching tasks: {error!r}, which is a mistake in the provider"
            self._fail_all(PlatformError(text))

    def _fail_all(self, cause: VmsnapshotError) -> None:
        with self._changed:
            watches = list(self._watches.values())
        for watch in watches:
            watch.fail(cause)

    def _make_collector(self, login: Login) -> _Collector:
        stub = login.another_stub()
        stub.open_ahead()
        try:
            collector = login.content.propertyCollector.CreatePropertyCollector()
            login.kept["tasks"] = collector
            waiting = type(collector)(object_id(collector), stub)
            running = watched_list(login, collector, {vim.Task: _WATCHED})
            return _Collector(login, collector, running, stub, waiting)
        except BaseException:
            stub.retire()
            raise

    def _begin(self, collector: _Collector) -> None:
        """Watch with this collector from now on."""
        with self._changed:
            closed = self._closed
            self._collector = None if closed else collector
            waiting = list(self._watches)
            slow = [watch.task_id for watch in self._watches.values() if watch.slow]
        if closed:
            collector.stub.retire(abort=True)
            return
        if waiting:
            self._modify(collector, collector.running, waiting, ())
        if slow:
            self._watch_progress(collector, slow)

    def _await_news(self, collector: _Collector) -> float:
        """Wait for news and hand it out; the seconds to let further news come."""
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=LONGEST_WAIT)
        news = collector.waiting.WaitForUpdatesEx(collector.version, options)
        if news is None:
            return 0.0
        collector.version = news.version
        only_progress = True
        for group in news.filterSet or ():
            for update in group.objectSet or ():
                for missing in update.missingSet or ():
                    if faults.is_expired(missing.fault):
                        raise missing.fault
                task_id = object_id(update.obj)
                changes = {change.name: change.val for change in update.changeSet or ()}
                if isinstance(update.obj, vim.VirtualMachine):
                    self._tell_question(task_id, changes.get(_QUESTION))
                    continue
                only_progress &= changes.keys() <= {"info.progress"}
                self._tell(task_id, None if update.kind == "leave" else changes)
        if news.truncated:
            return 0.0
        least, most = _GATHERING_PROGRESS if only_progress else _GATHERING
        share = _GATHERING_PROGRESS_SHARE if only_progress else _GATHERING_SHARE
        return min(most, max(least, share * self._longest_running()))

    @property
    def _first_pause(self) -> float:
        return min(_GATHERING[1], _SURELY_RUNNING * (self._usual_time or 0.0))

    def _longest_running(self) -> float:
        """Seconds since the oldest task that still runs was added."""
        with self._changed:
            running = [watch.since for watch in self._watches.values() if not watch.ended]
        return time.monotonic() - min(running) if running else 0.0

    def _tell(self, task_id: str, changes: Mapping[str, Any] | None) -> None:
        with self._changed:
            watch = self._watches.get(task_id) or self._left.get(task_id)
        if watch is None:
            return
        if changes is None:
            watch.forget()
        else:
            watch.tell(changes)
            self.learn(watch)

    def _tell_question(self, vm_id: str, question: Any) -> None:
        text = optional_text(getattr(question, "text", None))
        with self._changed:
            self._questions[vm_id] = text
            asked = [watch for watch in self._watches.values() if watch.slow and watch.vm_id == vm_id]
        for watch in asked:
            watch.ask(text)
