"""The API server's side: two watches, what they saw, and writing back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from lightkube import AsyncClient, Client, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace
from lightkube.types import PatchType

from devkit.kubernetes import GROUP, Definition
from devkit.vmoperator.objects import KINDS, MACHINE, SNAPSHOT, VERSIONS, Key, Object, key_of

LOG = logging.getLogger("vm-operator-stand-in")
FIELD_MANAGER = "vm-operator-stand-in"
CONFLICT = 409
_AGAIN = 0.1  # seconds, after a watch broke


class Cluster:
    """What the API server holds, kept up to date; a write's answer counts at once.

    Args:
        kubeconfig: A file.
        changed: Told the VM of each object that came, changed or went; from another thread.

    Attributes:
        client: A client of the user who works here.
        version: The API version that it speaks: the one that is stored.
    """

    def __init__(self, kubeconfig: Path, changed: Callable[[Key], None]) -> None:
        config = KubeConfig.from_file(str(kubeconfig)).get()
        self.client = Client(config, field_manager=FIELD_MANAGER, trust_env=False)
        self._config = config
        self._changed = changed
        self._lock = threading.Lock()
        self.version = self._stored_version()
        self._kinds = KINDS[self.version]
        self._seen: dict[str, dict[str, Object]] = {kind: {} for kind in self._kinds}
        # The uids of what was deleted: a write's answer may come after the news of that.
        self._gone: set[str] = set()
        self._order: dict[str, int] = {}
        self._listed: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._watches: asyncio.Task[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=f"{FIELD_MANAGER}-watches")

    @property
    def api_version(self) -> str:
        """What objects say of their version."""
        return f"{GROUP}/{self.version}"

    def _stored_version(self) -> str:
        crd = self.client.get(Definition, f"virtualmachines.{GROUP}")
        stored = [one["name"] for one in crd["spec"]["versions"] if one["storage"]]
        return next(version for version in VERSIONS if version in stored)

    def start(self) -> None:
        """Watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watches and close the connections."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()
        self.client.close()

    # What is there

    @property
    def synced(self) -> bool:
        """Whether both kinds were listed once."""
        with self._lock:
            return len(self._listed) == len(self._kinds)

    def machine(self, key: Key) -> Object | None:
        """A VM's object."""
        return next((one for one in self._all(MACHINE) if key_of(one) == key), None)

    def newest(self, item: Object) -> bool:
        """Whether no namespace has a younger VM object of that name."""
        name = key_of(item)[1]
        with self._lock:
            namesakes = [one for one in self._seen[MACHINE].values() if key_of(one)[1] == name]
            youngest = max(namesakes, key=self._age, default=item)
        return bool(youngest["metadata"]["uid"] == item["metadata"]["uid"])

    def snapshots(self, key: Key) -> list[Object]:
        """The snapshot objects that name a VM, oldest first."""
        with self._lock:
            found = [one for one in self._seen[SNAPSHOT].values() if key_of(one) == key]
            return sorted(found, key=self._age)

    def snapshot(self, namespace: str, name: str) -> Object | None:
        """A snapshot's object, whatever VM it names."""
        return next(
            (
                one
                for one in self._all(SNAPSHOT)
                if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, name)
            ),
            None,
        )

    def known(self, name: str | None = None) -> set[Key]:
        """All VMs spoken of, or those of one name."""
        with self._lock:
            keys = {key_of(one) for kind in self._seen.values() for one in kind.values()}
        return {key for key in keys if name in {None, key[1]}}

    def fresh(self, item: Object) -> Object:
        """An object as the server has it now; the watches may be behind."""
        metadata = item["metadata"]
        found = self.client.get(self._kinds[item["kind"]], metadata["name"], namespace=metadata["namespace"])
        return self._keep(found)

    # Writing: each refuses with a conflict if the object isn't what was seen

    def create_machine(self, item: Object) -> Object:
        """Make a VM object, and its namespace if need be."""
        with contextlib.suppress(ApiError):  # it is there already; anything else shows in the next call
            self.client.create(Namespace(metadata=ObjectMeta(name=item["metadata"]["namespace"])))
        return self._keep(self.client.create(self._kinds[MACHINE](item)))

    def edit(self, item: Object, metadata: Object) -> Object:
        """Change metadata by a merge."""
        return self._patch(item, {"metadata": metadata})

    def persist(self, item: Object, change: Callable[[Object], Object]) -> Object:
        """Make a change, anew on what is there now as long as somebody else's comes between."""
        while True:
            try:
                return change(item)
            except ApiError as error:
                if error.status.code != CONFLICT:
                    raise
                item = self.fresh(item)

    def let_go(self, item: Object, finalizer: str) -> None:
        """Take a finalizer away; the object may be gone then."""
        kept = [one for one in item["metadata"]["finalizers"] if one != finalizer]
        version = item["metadata"]["resourceVersion"]
        self.client.patch(
            self._kinds[item["kind"]],
            item["metadata"]["name"],
            {"metadata": {"finalizers": kept or None, "resourceVersion": version}},
            namespace=item["metadata"]["namespace"],
            patch_type=PatchType.MERGE,
        )

    def replace(self, item: Object) -> Object:
        """Put an object in the place of what is there; its status stays."""
        return self._keep(self.client.replace(self._kinds[item["kind"]](item)))

    def set_status(self, item: Object, status: Object) -> Object:
        """Put a status in the place of what is there; without a request if it is the same."""
        if status == (item.get("status") or {}):
            return item
        whole = self._kinds[item["kind"]].Status({**item, "status": status})
        return self._keep(self.client.replace(whole))

    def delete(self, item: Object) -> None:
        """Delete an object."""
        metadata = item["metadata"]
        self.client.delete(self._kinds[item["kind"]], metadata["name"], namespace=metadata["namespace"])

    def _patch(self, item: Object, body: Object) -> Object:
        metadata = item["metadata"]
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": metadata["resourceVersion"]}}
        answer = self.client.patch(
            self._kinds[item["kind"]],
            metadata["name"],
            body,
            namespace=metadata["namespace"],
            patch_type=PatchType.MERGE,
        )
        return self._keep(answer)

    # Seeing

    def _age(self, item: Object) -> tuple[str, int]:
        # A creation's time has whole seconds only; what came in the same one is in order of arrival.
        return item["metadata"]["creationTimestamp"], self._order[item["metadata"]["uid"]]

    def _all(self, kind: str) -> list[Object]:
        with self._lock:
            return list(self._seen[kind].values())

    def _keep(self, item: Any) -> Object:
        found = dict(item)
        with self._lock:
            self._put(found)
        return found

    def _put(self, item: Object) -> None:
        metadata = item["metadata"]
        if metadata["uid"] in self._gone:
            return
        known = self._seen[item["kind"]].get(metadata["uid"])
        # A watch tells of what a write's answer already told.
        if known is None or int(known["metadata"]["resourceVersion"]) < int(metadata["resourceVersion"]):
            self._seen[item["kind"]][metadata["uid"]] = item
        self._order.setdefault(metadata["uid"], len(self._order))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._watch_all())
        self._loop.close()

    def _cancel(self) -> None:
        if self._watches is not None:
            self._watches.cancel()

    async def _watch_all(self) -> None:
        self._watches = asyncio.current_task()
        client = AsyncClient(self._config, field_manager=FIELD_MANAGER, trust_env=False)
        try:
            await asyncio.gather(*(self._watch(client, kind) for kind in self._kinds))
        finally:
            await client.close()

    async def _watch(self, client: AsyncClient, kind: str) -> None:
        while True:
            try:
                listed = client.list(self._kinds[kind], namespace="*")
                found = [dict(item) async for item in listed]
                self._relist(kind, found, int(listed.resourceVersion))
                changes = client.watch(
                    self._kinds[kind], namespace="*", resource_version=listed.resourceVersion
                )
                async for change, item in changes:
                    self._see(change, dict(item))
            # A server that restarts, a version that is too old (410), half a line: all begin anew.
            except (httpx2.HTTPError, ValueError) as error:
                LOG.info("watch of %s begins anew: %s", kind, error)
                await asyncio.sleep(_AGAIN)

    def _relist(self, kind: str, found: list[Object], version: int) -> None:
        uids = {item["metadata"]["uid"] for item in found}
        with self._lock:
            gone = [
                item
                for uid, item in self._seen[kind].items()
                if uid not in uids and int(item["metadata"]["resourceVersion"]) <= version
            ]
            for item in gone:
                del self._seen[kind][item["metadata"]["uid"]]
                self._gone.add(item["metadata"]["uid"])
            for item in found:
                self._put(item)
            self._listed.add(kind)
        for key in {key_of(item) for item in [*gone, *found]}:
            self._changed(key)

    def _see(self, change: str, item: Object) -> None:
        with self._lock:
            if change == "DELETED":
                self._seen[item["kind"]].pop(item["metadata"]["uid"], None)
                self._gone.add(item["metadata"]["uid"])
            else:
                self._put(item)
        self._changed(key_of(item))
