"""`python mocked.py PROGRAM CONFIG` runs a program on Pulumi's mocks; prints as JSON what it registers."""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import pulumi
from pulumi.runtime import Mocks, mocks, set_all_config, set_mocks, test


class Recording(Mocks):
    """Remembers each resource; its outputs are its inputs."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Remember it."""
        self.made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        return f"id of {args.name}", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        """Nothing is known of anything."""
        return {}, None


recording = Recording()
set_mocks(recording, project="made-up", stack="dev", preview=False)
set_all_config(json.loads(sys.argv[2]))


@test  # type: ignore[untyped-decorator]
def run() -> pulumi.Output[None]:
    """Run the program, and wait for all that it asks for."""
    runpy.run_path(sys.argv[1], run_name="__main__")
    return pulumi.Output.from_input(None)


run()
print(json.dumps(recording.made))
