"""The provider of one dynamic resource: decodes, calls the lifecycle, encodes what comes back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import pulumi
from pulumi import dynamic

from vmsnapshot.frontends.dynamic._changes import changes_in_words, import_id, machines_of
from vmsnapshot.frontends.dynamic._process import Process, process_of, settings_of
from vmsnapshot.frontends.dynamic._tree import decode, encode
from vmsnapshot.frontends.engine._messages import internal_error
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import VmsnapshotError
from vmsnapshot.model._base import Model, fields, pick
from vmsnapshot.model.catalogue import RESOURCES
from vmsnapshot.model.duration import parse_duration
from vmsnapshot.model.snapshot import SNAPSHOT

# What check computes under the name of an output that is the live platform. It isn't put into state: the
# engine would draw it against what an earlier run computed, and not against what there is.
_LIVE: Final = frozenset({"machine", "machines", "checkpoints"})


class Failed(Exception):
    """A verb failed. The engine prints it below a traceback, which is about `pulumi.dynamic`."""


class Provider(dynamic.ResourceProvider):
    """What stands in the stack's state for a resource: which one it is, and nothing else.

    It is pickled by reference to this package, where the next run finds it, and knows nothing of the
    configuration before `configure`, which is called in the process of the dynamic providers only.

    Args:
        token: The resource's type.
        urn: The resource.
        timeouts: Its customTimeouts by verb, such as `{"create": "10m"}`.
    """

    serialize_as_secret_always = False

    def __init__(self, token: str, urn: str | pulumi.Output[str], timeouts: Mapping[str, str]) -> None:
        super().__init__()
        self.token = token
        self.urn = urn
        self.timeouts = dict(timeouts)
        self._settings: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled; every release must understand it, for state outlives releases."""
        return {"token": self.token, "urn": self.urn, "timeouts": self.timeouts}

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Take the settings from the stack's configuration; the platform is contacted when first needed."""
        self._settings = settings_of(req.config.get)

    # --- verbs --------------------------------------------------------------------------------

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate; of a new resource, say what will be done: nothing else is asked in a preview."""
        old, new = decode(olds), decode(news)
        inputs, failures = new, list(_unsupported(new))
        try:
            with self._telling():
                if not failures:
                    result = self._process.lifecycle.check(self._checking(new, old))
                    inputs, failures = result.inputs, list(result.failures)
                if not failures and not old:
                    self._announce_create(inputs)
        except Failed as error:  # as a failure of the check, it is printed without a traceback
            failures = [requests.CheckFailure("", str(error))]
        return dynamic.CheckResult(encode(_stored(inputs)), list(self._refused(failures)))

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare; if there are changes, say what will be done.

        The engine neither refreshes a dynamic resource before an update nor shows its state to a check: what
        depends on either is made up for here.
        """
        old, new = decode(olds), decode(news)
        old_inputs = self._old_inputs(old)
        with self._telling():
            if self.token != SNAPSHOT.token:
                old = self._refreshed(id_, old, old_inputs)
                checked = self._process.lifecycle.check(self._checking(self._given(new), old_inputs))
                if checked.failures:
                    reasons = (f"{item.property}: {item.reason}" for item in checked.failures)
                    raise Failed("\n".join(reasons))
                new = checked.inputs
            result = self._process.lifecycle.diff(
                requests.DiffRequest(self._urn, self.token, id_, old_inputs, old, new)
            )
            replacing = (str(path[0]) for path, change in result.changes.items() if change.change.replaces)
            replaces = list(dict.fromkeys(replacing))
            if result.changes and not replaces:
                self._announce_update(id_, old_inputs, old, new, result.changes.values())
        return dynamic.DiffResult(
            changes=bool(result.changes),
            replaces=replaces,
            delete_before_replace=result.delete_before_replace,
        )

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Make it. What fails midway can't be put into state: the next run finds it by its mark."""
        with self._telling():
            made = self._process.lifecycle.create(
                requests.CreateRequest(self._urn, self.token, decode(props), timeout=self._timeout("create"))
            )
        return dynamic.CreateResult(made.id, encode(made.state))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """It as it is now; without an id when it is definitely gone."""
        state = decode(props)
        inputs = self._old_inputs(state)
        with self._telling():
            found = self._read(id_, state, inputs)
        if found is None:
            return dynamic.ReadResult("", {})
        read = _stored(found.inputs)
        return dynamic.ReadResult(
            found.id, encode(found.state), inputs=encode(read) if read != inputs else None
        )

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Change it in place. What fails midway is continued by the next run."""
        state = decode(olds)
        with self._telling():
            changed = self._process.lifecycle.update(
                requests.UpdateRequest(
                    self._urn,
                    self.token,
                    id_,
                    self._old_inputs(state),
                    state,
                    decode(news),
                    timeout=self._timeout("update"),
                )
            )
        return dynamic.UpdateResult(encode(changed.state))

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Remove it."""
        with self._telling():
            self._process.lifecycle.delete(
                requests.DeleteRequest(
                    self._urn, self.token, id_, decode(props), timeout=self._timeout("delete")
                )
            )

    # --- what previews are told ---------------------------------------------------------------

    def _announce_create(self, inputs: requests.Properties) -> None:
        self._process.lifecycle.create(requests.CreateRequest(self._urn, self.token, inputs, preview=True))
        after = machines_of(self.token, inputs)
        named = import_id(self.token, inputs) if after else None
        if named is not None:
            watched = self._process.lifecycle.read(requests.ReadRequest(self._urn, self.token, named))
            self._announce_changes({} if watched is None else watched.state, inputs)

    def _announce_update(
        self,
        id_: str,
        old_inputs: requests.Properties,
        old: requests.Properties,
        new: requests.Properties,
        changes: Iterable[requests.PropertyChange],
    ) -> None:
        self._process.lifecycle.update(
            requests.UpdateRequest(self._urn, self.token, id_, old_inputs, old, new, preview=True)
        )
        if not all(change.input_diff for change in changes):
            self._announce_changes(old, new)

    def _announce_changes(self, live: requests.Properties, inputs: requests.Properties) -> None:
        """In words, what the diff of a plugin shows."""
        after = machines_of(self.token, inputs)
        # What was watched is named by its id.
        before = machines_of(self.token, {**live, "vmName": inputs.get("vmName")})
        text = changes_in_words(before, after)
        if text:
            self._process.logger.log(self._urn, requests.Severity.WARNING, text)

    # --- small things -------------------------------------------------------------------------

    @property
    def _process(self) -> Process:
        return process_of(self._settings or {})

    @property
    def _urn(self) -> str:
        return self.urn if isinstance(self.urn, str) else self.urn.get()

    @property
    def _inputs(self) -> type[Model]:
        (model,) = (kind.inputs for kind in RESOURCES if kind.token == self.token)
        return model

    def _checking(self, new: requests.Properties, old: requests.Properties) -> requests.CheckRequest:
        # The engine tells a dynamic provider no seed: previews and updates shall make up the same name.
        seed = hashlib.sha256(self._urn.encode()).digest()
        return requests.CheckRequest(self._urn, self.token, new, old or None, seed)

    def _old_inputs(self, state: requests.Properties) -> requests.Properties:
        """The inputs, of which the engine shows a dynamic provider only what became of them."""
        return _stored(pick(self._inputs, state))

    def _given(self, inputs: requests.Properties) -> requests.Properties:
        """The inputs without what a check has computed."""
        computed = {name for name, _, about in fields(self._inputs) if about.computed}
        return {name: value for name, value in inputs.items() if name not in computed}

    def _read(
        self, id_: str, state: requests.Properties, inputs: requests.Properties
    ) -> requests.Resource | None:
        timeout = self._timeout("read")
        return self._process.lifecycle.read(
            requests.ReadRequest(self._urn, self.token, id_, state, inputs, timeout)
        )

    def _refreshed(
        self, id_: str, state: requests.Properties, inputs: requests.Properties
    ) -> requests.Properties:
        found = self._read(id_, state, inputs)
        if found is None:
            message = f"{id_} is gone. Run `pulumi refresh`; the next update then creates it again."
            raise Failed(message)
        return found.state

    def _timeout(self, verb: str) -> timedelta | None:
        return parse_duration(self.timeouts[verb]) if verb in self.timeouts else None

    def _refused(self, failures: Iterable[requests.CheckFailure]) -> Iterator[dynamic.CheckFailure]:
        for item in failures:
            yield dynamic.CheckFailure(item.property, self._process.secrets.conceal(self._urn, item.reason))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever fails is told in one sentence without secrets."""
        if self._process.failures:
            raise Failed("\n".join(self._process.failures))
        try:
            yield
        except Failed:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, the user is told
            text = str(error) if isinstance(error, VmsnapshotError) else internal_error(error)
            raise Failed(self._process.secrets.conceal(self._urn, text)) from None


def _stored(inputs: requests.Properties) -> requests.Properties:
    return {name: value for name, value in inputs.items() if name not in _LIVE}


def _unsupported(inputs: requests.Properties) -> Iterator[requests.CheckFailure]:
    if inputs.get("requireUnchanged") is True:
        yield requests.CheckFailure(
            "requireUnchanged",
            "a dynamic resource isn't told what a preview showed. Leave it out, and update from a saved plan "
            "(`pulumi preview --save-plan FILE`, then `pulumi up --plan FILE`), which is refused when the VM "
            "is no longer as it was; or use the plugin",
        )
