"""Tries with clones whether all VMs of an environment would come up from a checkpoint."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()

rehearsal = vmsnapshot.EnvironmentRehearsal(
    "rehearsal",
    virtual_machines=[  # the waves of a rollback: the highest order first
        {"vm_name": "db-1", "order": 1},
        {"vm_name": "web-1"},
    ],
    to=config.require("label"),
    triggers={"night": config.get("night") or ""},
    wait_for_tools=config.get("wait") or "10m",
    # networks={"production": "rehearsal"},  # so that the check can reach the clones
    check={"command": ["sh", "../check.sh"]},  # a command of yours, which runs here
)

pulumi.export("passed", rehearsal.passed)
pulumi.export("seconds", rehearsal.seconds)
pulumi.export("results", rehearsal.results)
