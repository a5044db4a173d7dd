"""A fake package behind the plugin's own service: `python fake_provider.py ENGINE` serves it.

What exists is kept in a file (FAKE_STORE), and each request is noted in another (FAKE_LOG),
because the engine starts a plugin several times. What a thing does is said by its `behave` input.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmsnapshot.frontends.plugin.__main__ import serve
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.errors import Cancelled, Refused
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.property_path import PropertyPath
from vmsnapshot.model.values import UNKNOWN, plain

_ANY = {"$ref": "pulumi.json#/Any"}
_INPUTS = {
    "label": {"type": "string"},
    "kind": {"type": "string"},
    "behave": {"type": "string"},
    "settings": {"type": "object", "additionalProperties": _ANY},
}
_SETTINGS = {
    "user": {"type": "string"},
    "password": {"type": "string", "secret": True},
    "verify": {"type": "boolean"},
    "hosts": {"type": "array", "items": {"type": "string"}},
}
TOKEN = "fake:index:Thing"

SCHEMA: dict[str, Any] = {
    "name": "fake",
    "config": {"variables": _SETTINGS},
    "provider": {"inputProperties": _SETTINGS},
    "resources": {
        TOKEN: {
            "inputProperties": _INPUTS,
            "properties": {**_INPUTS, "computed": {"type": "string"}, "cpus": {"type": "integer"}},
            "listInputs": {"properties": {"kind": {"type": "string"}}},
        }
    },
    "functions": {
        "fake:index:echo": {
            "inputs": {"properties": {"text": {"type": "string"}}},
            "outputs": {"properties": {"text": {"type": "string"}}},
        }
    },
}


class Things(Provider):
    """Makes things that exist in a file only."""

    def __init__(self, logger: requests.Logger) -> None:
        self._logger = logger
        self._store = Path(os.environ["FAKE_STORE"])
        self._log = Path(os.environ["FAKE_LOG"])
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """Any settings will do."""
        self._note("check_configuration", new_inputs)
        return requests.CheckResult(new_inputs)

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """Settings are compared one by one."""
        return requests.DiffResult(_changes(old_inputs, new_inputs))

    def configure(self, inputs: requests.Properties, state: str | None = None) -> requests.Properties:
        """Nothing to connect to."""
        self._note("configure", inputs)
        return inputs

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """A thing must not be labelled `bad`."""
        self._note("check", request)
        if request.new_inputs.get("label") == "bad":
            return requests.CheckResult({}, [requests.CheckFailure("label", "no thing is called bad")])
        return requests.CheckResult(request.new_inputs)

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """Another kind makes another thing."""
        self._note("diff", request)
        return requests.DiffResult(_changes(request.old_inputs, request.new_inputs))

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """Make a thing, or do what `behave` says."""
        if self._cancelled.is_set():  # before the note: who reads that may cancel at once
            raise Cancelled("everything was cancelled before")
        self._note("create", request)
        if request.preview:
            return self._resource("", request.inputs, UNKNOWN)
        self._logger.log(request.urn, requests.Severity.INFO, "first line\nsecond line")
        self._logger.log_status(request.urn, "40 %")
        name = request.urn.rpartition("::")[2]
        match request.inputs.get("behave"):
            case "refuse":
                raise Refused(f"no: {plain(request.inputs)}")
            case "crash":
                raise KeyError(str(plain(request.inputs)))
            case "block":
                self._cancelled.wait()
                raise Cancelled("cancelled while it was made")
            case "hang":
                threading.Event().wait()
            case "half":
                made = self._save(f"id-{name}", request.inputs)
                raise requests.PartialState(made, Refused("it isn't ready yet"))
        return self._save(f"id-{name}", request.inputs)

    def read(self, request: requests.ReadRequest) -> requests.Resource | None:
        """What the file says."""
        self._note("read", request)
        found = self._things().get(request.id)
        if found is None:
            return None
        inputs = request.inputs or {"label": found["label"], "kind": found["kind"]}
        return self._resource(request.id, {**inputs, "label": found["label"]}, found["cpus"])

    def update(self, request: requests.UpdateRequest) -> requests.Resource:
        """Change a thing."""
        self._note("update", request)
        if request.preview:
            return self._resource(request.id, request.new_inputs, 2)
        return self._save(request.id, request.new_inputs)

    def delete(self, request: requests.DeleteRequest) -> None:
        """Remove a thing."""
        self._note("delete", request)
        with self._lock:
            things = self._things()
            things.pop(request.id, None)
            self._store.write_text(json.dumps(things), encoding="utf-8")

    def invoke(self, token: str, args: requests.Properties) -> requests.InvokeResult:
        """The arguments back."""
        self._note("invoke", args)
        if plain(args.get("text")) == "fail":
            return requests.InvokeResult({}, [requests.CheckFailure("text", "this one fails")])
        return requests.InvokeResult(args)

    def list(self, token: str, query: requests.Properties) -> Iterator[requests.Listed]:
        """All things of a kind."""
        self._note("list", query)
        for id_, thing in sorted(self._things().items()):
            if query.get("kind") in {None, thing["kind"]}:
                yield requests.Listed(id_, thing["label"])

    def cancel(self) -> None:
        """Let go of what blocks."""
        self._note("cancel", None)
        self._cancelled.set()

    def close(self) -> None:
        """Nothing to give back."""
        self._note("close", None)

    def _note(self, method: str, request: Any) -> None:
        told = dataclasses.asdict(request) if hasattr(request, "urn") else request
        with self._lock, self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"method": method, "request": told}, default=repr) + "\n")

    def _things(self) -> dict[str, Any]:
        things: dict[str, Any] = json.loads(self._store.read_text(encoding="utf-8"))
        return things

    def _save(self, id_: str, inputs: requests.Properties) -> requests.Resource:
        with self._lock:
            things = self._things()
            cpus = things.get(id_, {"cpus": 2})["cpus"]
            told = plain(inputs)
            things[id_] = {"label": told.get("label"), "kind": told.get("kind"), "cpus": cpus}
            self._store.write_text(json.dumps(things), encoding="utf-8")
        return self._resource(id_, inputs, cpus)

    @staticmethod
    def _resource(id_: str, inputs: requests.Properties, cpus: Any) -> requests.Resource:
        computed = f"made as {id_}" if id_ else UNKNOWN
        state = {**inputs, "computed": computed, "cpus": cpus}
        return requests.Resource(id_, state, inputs, refresh_before_update=True)


def _changes(
    old: requests.Properties, new: requests.Properties, path: PropertyPath = ()
) -> dict[PropertyPath, requests.PropertyChange]:
    found: dict[PropertyPath, requests.PropertyChange] = {}
    for key in sorted(old.keys() | new.keys()):
        where = (*path, key)
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _changes(before, after, where)
        elif before != after:
            change = requests.Change.UPDATE_REPLACE if key == "kind" else requests.Change.UPDATE
            found[where] = requests.PropertyChange(requests.Change.ADD if before is None else change)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", nargs="?")
    serve(Things, engine=parser.parse_known_args()[0].engine, schema=lambda: SCHEMA)
