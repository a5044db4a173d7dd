"""Makes an import file for `pulumi import --file` of the snapshots in a Terraform or pulumi-vsphere state.

terraform show -json | python3 convert.py > import.json
pulumi stack export  | python3 convert.py > import.json

Only reads. Says on standard error which snapshots remove their children when deleted: an import leaves that
out.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

TERRAFORM = "vsphere_virtual_machine_snapshot"
PULUMI = "vsphere:index/virtualMachineSnapshot:VirtualMachineSnapshot"
OURS = "vmsnapshot:index:VirtualMachineSnapshot"


def of_terraform(module: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each snapshot's address and values, those of child modules too."""
    for resource in module.get("resources", []):
        if resource.get("mode") == "managed" and resource.get("type") == TERRAFORM:
            yield resource["address"], resource["values"]
    for child in module.get("child_modules", []):
        yield from of_terraform(child)


def of_pulumi(resources: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each snapshot's name and values, the latter under Terraform's names."""
    for resource in resources:
        if resource["type"] == PULUMI:
            outputs = resource["outputs"]
            values = {
                "id": resource["id"],
                "virtual_machine_uuid": outputs["virtualMachineUuid"],
                "remove_children": outputs.get("removeChildren"),
            }
            yield resource["urn"].rpartition("::")[2], values


def read() -> dict[str, Any]:
    """The state on standard input."""
    wanted = "Give what `terraform show -json` or `pulumi stack export` prints"
    try:
        state = json.load(sys.stdin)
    except ValueError:
        sys.exit(f"This is not JSON. {wanted}.")
    if not isinstance(state, dict) or state.keys().isdisjoint({"format_version", "deployment"}):
        sys.exit(
            f"This is JSON, but no such state. {wanted}; a file such as terraform.tfstate is something else."
        )
    return state


def main() -> None:
    state = read()
    found = list(
        of_pulumi(state["deployment"].get("resources", []))
        if "deployment" in state
        else of_terraform(state.get("values", {}).get("root_module", {}))
    )
    resources, names = [], set()
    for address, values in found:
        name = re.sub(r"\W+", "-", address.removeprefix(f"{TERRAFORM}.")).strip("-")
        while name in names:
            name += "-2"
        names.add(name)
        # What both keep as the id is the snapshot's managed object id.
        resources.append(
            {"type": OURS, "name": name, "id": f"{values['virtual_machine_uuid']}@{values['id']}"}
        )
        if values.get("remove_children"):
            sys.stderr.write(f"{name}: set childPolicy to `remove`, as {address} has it\n")
    if not resources:
        sys.exit("There is no snapshot in this state.")
    sys.stdout.write(json.dumps({"resources": resources}, indent=2) + "\n")


if __name__ == "__main__":
    main()
