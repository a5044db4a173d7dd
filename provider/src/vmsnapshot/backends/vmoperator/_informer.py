"""What is in a namespace, kept up to date by one watch per kind, however many ask."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from vmsnapshot.backends._retry import backoff
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._changes import ChangeNotifier, ended_by
from vmsnapshot.backends.vmoperator._client import Client
from vmsnapshot.backends.vmoperator._objects import (
    MACHINES,
    SNAPSHOTS,
    Object,
    anew,
    is_another,
    is_newer_than,
    is_older,
    name_of,
    spec_of,
    uid_of,
)
from vmsnapshot.backends.vmoperator._watch import Watch
from vmsnapshot.lifecycle.errors import Busy, Gone, PlatformError, Unreachable, Unsupported, VmsnapshotError
from vmsnapshot.lifecycle.operation import Operation

T = TypeVar("T")

# The longest pause, in seconds, before a watch that broke is begun again: everybody waits for it.
_LONGEST_PAUSE: Final = 2.0
# For one object that a list lacks.
_ASKING: Final = dt.timedelta(seconds=30)
# After these a watch is begun again; after anything else whoever waits is told.
_PASSING: Final = (Unreachable, Busy, faults.ResourceExpired)


class Informer:
    """The objects of one kind in one namespace: listed once, then watched.

    A watch that ends or breaks is begun again from where it was; one that the server has forgotten
    (410 Gone) begins with a new list.  What a write of ours answered counts at once, so nobody reads
    what is older than their own write.

    Args:
        client: The server.
        namespace: Where.
        plural: Which kind.
        changes: Told of each change.
        key: The VM that an object is, or is of.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        plural: str,
        changes: ChangeNotifier,
        key: Callable[[Object], str],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._plural = plural
        self._changes = changes
        self._key = key
        self._about = f"watching {plural} of namespace {namespace}"
        self._changed = threading.Condition()
        self._objects: dict[str, Object] = {}
        # The names of the objects of each VM: looking at a thousand VMs must not look at all objects of each.
        self._names: dict[str, set[str]] = defaultdict(set)
        self._gone: set[str] = set()
        self._version: str | None = None
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._begun = self._live = False
        self._trouble: VmsnapshotError | None = None

    @property
    def ended(self) -> VmsnapshotError | None:
        """What ended it, and won't pass by itself; None while it runs."""
        with self._changed:
            return self._ended_by()

    def start(self) -> None:
        """Begin to list and watch, unless that is under way."""
        with self._changed:
            self._begun = True
            if self._thread is None and not self._client.closed.is_set():
                self._trouble = None
                name = f"vmsnapshot-{self._plural}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()  # counts as there only then: none may be to be had
                self._thread = thread

    def ready(self, operation: Operation) -> None:
        """Wait until what is here is what the server has.

        Raises:
            Denied: This user may not list or watch; likewise whatever else won't pass by itself.
            Unreachable: The server could not be reached even once, or everything is closed.
            Cancelled: The user cancelled.
            TimedOut: The operation timed out; the message says why it took so long.
        """
        self.start()

        def wake() -> None:
            with self._changed:
                self._changed.notify_all()

        told: str | None = None
        undo = operation.cancellation.subscribe(wake)
        try:
            while True:
                with self._changed:
                    while (
                        not self._live
                        and self._thread is not None
                        and (self._trouble is None or self._trouble.message == told)
                        and not operation.cancellation.requested
                        and operation.remaining
                    ):
                        self._changed.wait(operation.remaining)
                    live, ended, trouble = self._live, self._ended_by(), self._trouble
                if live:
                    return
                if ended is not None:
                    raise ended_by(ended, operation)
                try:
                    operation.check()
                except VmsnapshotError as over:
                    if (last := told if trouble is None else trouble.message) is not None:
                        over.add(f"The last attempt: {last}")
                    raise
                if trouble is not None:
                    told = trouble.message
                    operation.progress(f"{told} Trying again.")
        finally:
            undo()

    def get(self, name: str) -> Object | None:
        """The object of that name, None without it. Not to be changed."""
        with self._changed:
            return self._objects.get(name)

    def find(self, name: str, operation: Operation) -> Object | None:
        """The object of that name; one that isn't here is asked for alone: a list may have left it out."""
        return self.get(name) or self.ask_alone(name, operation)

    def ask_alone(self, name: str, operation: Operation) -> Object | None:
        """The object of that name as the server has it, asked for alone; None: it definitely isn't there.

        A list of one: whoever may list all objects of a namespace may ask so.

        Raises:
            Denied: This user may no longer look; likewise whatever else keeps the server from answering.
        """
        item = self._client.find(self._namespace, self._plural, name, operation)
        if item is not None:
            with self._changed:
                self._gone.discard(uid_of(item))
            self.upsert(item)
        return item

    def all(self) -> list[Object]:
        """All objects, by name. Not to be changed."""
        with self._changed:
            return [self._objects[name] for name in sorted(self._objects)]

    def of(self, key: str) -> list[Object]:
        """The objects that are of a VM, by name. Not to be changed."""
        with self._changed:
            return [self._objects[name] for name in sorted(self._names.get(key, ()))]

    def upsert(self, item: Object) -> None:
        """Take what the server said of an object, unless something newer is known."""
        with self._changed:
            name = name_of(item)
            known = self._objects.get(name)
            if uid_of(item) in self._gone or (known is not None and is_older(item, known)):
                return
            if known is not None:
                self._names[self._key(known)].discard(name)
            self._objects[name] = item
            self._names[self._key(item)].add(name)
        self._changes.tell(self._key(item))

    def remove(self, item: Object) -> None:
        """Remove an object that the server has deleted."""
        with self._changed:
            name = name_of(item)
            self._gone.add(uid_of(item))
            known = self._objects.get(name)
            if known is not None and uid_of(known) == uid_of(item):
                del self._objects[name]
                self._names[self._key(known)].discard(name)
        self._changes.tell(self._key(item))

    def stop(self) -> None:
        """End the watch; `Client.closed` is set."""
        with self._changed:
            watch, thread = self._watch, self._thread
            self._changed.notify_all()
        if watch is not None:
            watch.abort()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LONGEST_PAUSE)

    def _ended_by(self) -> VmsnapshotError | None:
        if self._thread is not None or not self._begun:
            return None
        closed = Unreachable("the connection has been closed.", retryable=False, subject=self._about)
        return self._trouble or closed

    # The one thread

    def _run(self) -> None:
        trouble: VmsnapshotError | None = None
        try:
            trouble = self._watch_on()
        except Exception as error:  # noqa: BLE001 - whoever waits is told, not that the connection was closed
            text = f"{error!r}, which is a mistake in the provider."
            trouble = PlatformError(text, subject=self._about)
        finally:
            with self._changed:
                self._live, self._trouble, self._thread = False, trouble, None
                self._changed.notify_all()
            self._changes.tell()

    def _watch_on(self) -> VmsnapshotError | None:
        """Watch until it is closed, or until something doesn't pass by itself: that is given."""
        waits = backoff()
        while not self._client.closed.is_set():
            try:
                if self._version is None:
                    self._list()
                    waits = backoff()
                began = time.monotonic()
                if self._follow():
                    waits = backoff()
                if time.monotonic() - began > _LONGEST_PAUSE:
                    continue
                asked = 0.0  # one that ends at once isn't begun again at once
            except faults.NeverReached as error:
                return error
            except _PASSING as error:
                # From a version that etcd, restored from a backup, hasn't reached yet, nothing comes.
                if isinstance(error, (faults.ResourceExpired, faults.Silent)):
                    self._version = None
                self._stale(error)
                asked = faults.pause_of(error)
            except VmsnapshotError as error:
                return error
            self._client.closed.wait(max(asked, min(next(waits), _LONGEST_PAUSE)))
        return None

    def _list(self) -> None:
        items, version = self._client.list(self._client.path(self._namespace, self._plural), self._about)
        listed = {uid_of(item) for item in items}
        with self._changed:
            known = list(self._objects.values())
        for item in known:
            left_out = uid_of(item) not in listed and not is_newer_than(item, version)
            if left_out and not self._is_there(item):
                self.remove(item)
        for item in items:
            self.upsert(item)
        self._version = version

    def _is_there(self, item: Object) -> bool:
        """Whether an object that a list lacks is there all the same, asked for alone."""
        try:
            found = self.ask_alone(name_of(item), Operation(self._about, timeout=_ASKING))
        except VmsnapshotError as error:  # that isn't known: it is all listed again
            raise faults.Interrupted(error.reason, subject=self._about) from None
        return found is not None and uid_of(found) == uid_of(item)

    def _follow(self) -> bool:
        """Take changes in until the server ends the watch; whether any came."""
        path = self._client.path(self._namespace, self._plural)
        came = False
        with self._client.watch(path, self._version or "", self._about) as watch:
            self._watch = watch
            self._fresh()
            try:
                # Asked when the watch can be aborted: `stop` comes before or after that.
                if self._client.closed.is_set():
                    return came
                for line in watch.lines():
                    self._take(json.loads(line))
                    came = True
            except ValueError:
                # Half a line: the server was killed while it wrote.
                raise faults.Interrupted("the connection broke.", subject=self._about) from None
            finally:
                self._watch = None
        return came

    def _take(self, change: Any) -> None:
        item: Any = change.get("object") if isinstance(change, dict) else None
        if not isinstance(item, dict):
            raise faults.Interrupted("what came is no change of an object.", subject=self._about)
        kind = change.get("type")
        if kind == "ERROR":
            code = int(item.get("code") or 0)
            error = faults.translate(faults.Answer(code, item), self._about)
            if not isinstance(error, _PASSING):  # whatever the server's own watch ended with
                error = faults.Interrupted(error.reason, subject=self._about)
            raise error
        if not (item.get("metadata") or {}).get("name") and kind != "BOOKMARK":
            raise faults.Interrupted(f"what came is no change of an object ({kind!r}).", subject=self._about)
        if kind == "DELETED":
            self.remove(item)
        elif kind != "BOOKMARK":
            self.upsert(item)
        version = (item.get("metadata") or {}).get("resourceVersion")
        if version:
            self._version = str(version)

    def _fresh(self) -> None:
        with self._changed:
            self._live, self._trouble = True, None
            self._changed.notify_all()

    def _stale(self, trouble: VmsnapshotError) -> None:
        with self._changed:
            self._live, self._trouble = False, trouble
            self._changed.notify_all()


class NamespaceCache:
    """One namespace: its VMs and their snapshots."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self.changes = ChangeNotifier(self._ended)
        self.machines = Informer(client, name, MACHINES, self.changes, name_of)
        self.snapshots = Informer(client, name, SNAPSHOTS, self.changes, vm_of)
        self.told_time = client.told_time
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def start(self) -> None:
        """Begin both watches, unless they run."""
        self.machines.start()
        self.snapshots.start()

    def ready(self, operation: Operation) -> bool:
        """Wait until both are as the server has them; whether the server has snapshots at all."""
        self.start()
        self.machines.ready(operation)
        try:
            self.snapshots.ready(operation)
        except Unsupported:
            return False
        return True

    def seen_for(self, about: Hashable, *what: Hashable) -> float:
        """How many seconds the same has been seen of something by this process, each time it looked."""
        now = time.monotonic()
        seen, since = self._seen.get(about, (None, now))
        if seen != what:
            since = now
        self._seen[about] = what, since
        return now - since

    def machine(self, name: str, uid: str | None, about: faults.About) -> Object:
        """The VM that was looked at before, as it is now; None as its UID: that isn't known.

        Raises:
            Gone: It is no longer there; another may have its name.
        """
        found = self.machines.get(name)
        if found is None or is_another(found, uid):
            raise Gone(f"the VM is no longer there{anew(found)}.", subject=about)
        return found

    def snapshots_of(self, vm_name: str) -> list[Object]:
        """The snapshot objects that name a VM."""
        return self.snapshots.of(vm_name)

    def stop(self) -> None:
        """End the watches."""
        self.machines.stop()
        self.snapshots.stop()

    def _ended(self) -> VmsnapshotError | None:
        found = (self.machines.ended, self.snapshots.ended)
        # Where the server has no snapshots, VMs are watched all the same.
        return next((one for one in found if one is not None and not isinstance(one, Unsupported)), None)


def vm_of(snapshot: Object) -> str:
    """The name of the VM that a snapshot object is of."""
    return str(spec_of(snapshot).get("vmName") or "")
