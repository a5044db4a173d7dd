"""The real engine's own trace and debug output hold what the plugin did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tests.e2e.conftest import snapshot
from tests.support.engine import Stack
from tests.support.simulator import Simulator

# A span, with the service that it is of.
Found: TypeAlias = tuple[str, dict[str, str]]


def test_the_plugins_spans_are_in_the_engines_trace(
    stack: Stack, vsphere: Simulator, write: Callable[..., None], tmp_path: Path
) -> None:
    """`--otel-traces` gets the task of vSphere within the plugin's Create within the engine's own call.

    None of its spans shows the password. With `--debug` the same update says under the resource what it
    asked of vSphere.
    """
    write(before=snapshot())
    file = tmp_path / "trace.json"
    told = stack.run("up", "--yes", "--skip-preview", "--debug", "--otel-traces", f"file://{file}").check()
    spans: dict[str, Found] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        for group in json.loads(line)["resourceSpans"]:
            about = {item["key"]: item["value"] for item in group["resource"]["attributes"]}
            service = about["service.name"]["stringValue"]
            for scope in group["scopeSpans"]:
                spans |= {span["spanId"]: (service, span) for span in scope["spans"]}
    (taken,) = [span for _, span in spans.values() if span["name"] == "CreateSnapshotEx_Task"]
    lineage = [(service, span["name"]) for service, span in ancestors(spans, taken)]
    create = "pulumirpc.ResourceProvider/Create"
    ours = "pulumi-resource-vmsnapshot"
    assert lineage[:3] == [(ours, "CreateSnapshotEx_Task"), (ours, create), ("pulumi-cli", create)]
    assert lineage[-1] == ("pulumi-cli", "pulumi")
    shown = json.dumps([span for service, span in spans.values() if service == ours])
    assert vsphere.settings["password"] not in shown
    assert "asked the server: " in told.text
    assert "1 CreateSnapshotEx_Task" in told.text


def ancestors(
    spans: dict[str, tuple[str, dict[str, str]]], span: dict[str, str]
) -> list[tuple[str, dict[str, str]]]:
    """A span and those that it lies within, up to the trace's first."""
    found = [spans[span["spanId"]]]
    while (parent := found[-1][1].get("parentSpanId", "")) in spans:
        found.append(spans[parent])
    return found
