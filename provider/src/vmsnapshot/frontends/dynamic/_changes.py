"""What a revert changes on the machines, in words: the engine draws no diff for a dynamic provider."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmsnapshot.lifecycle.common.comparison import compare_machines
from vmsnapshot.lifecycle.requests import Properties
from vmsnapshot.model.property_path import PropertyPath, format_path
from vmsnapshot.model.revert import REVERT
from vmsnapshot.model.rollback import ROLLBACK


def machines_of(token: str, tree: Properties) -> dict[str, Properties]:
    """The machines that inputs or a state tell of, by the VM as the program names it; none where unknown."""
    found: Any = None
    if token == REVERT.token:
        found = {str(tree.get("vmName")): tree.get("machine")}
    elif token == ROLLBACK.token:
        found = tree.get("machines")
    machines = found if isinstance(found, Mapping) else {}
    return {name: machine for name, machine in machines.items() if isinstance(machine, dict)}


def import_id(token: str, inputs: Properties) -> str | None:
    """By what the VMs that inputs are about could be imported; None: not by their names."""
    if token == REVERT.token:
        return "/".join(filter(None, (inputs.get("namespace"), inputs["vmName"])))
    names = machines_of(token, inputs)
    return None if any("," in name for name in names) else ",".join(names)


def changes_in_words(live: Mapping[str, Properties], after: Mapping[str, Properties]) -> str:
    """What becomes of each machine; "": nothing changes, or it isn't known."""
    return "\n".join(line for name in after if name in live for line in _lines(name, live[name], after[name]))


def _lines(name: str, live: Properties, after: Properties) -> Iterator[str]:
    changes = compare_machines((), live, after)
    if changes:
        yield f'What changes on VM "{name}":'
    for path in changes:
        old, new, where = _at(live, path), _at(after, path), format_path(path)
        if old is None:
            yield f"  + {where}: {_text(new)}"
        elif new is None:
            yield f"  - {where}: {_text(old)}"
        else:
            yield f"  ~ {where}: {_text(old)} => {_text(new)}"


def _at(tree: Any, path: PropertyPath) -> Any:
    """The value at a path; None: there is none."""
    for element in path:
        if isinstance(element, int):
            tree = tree[element] if isinstance(tree, list) and element < len(tree) else None
        else:
            tree = tree.get(element) if isinstance(tree, Mapping) else None
    return tree


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
