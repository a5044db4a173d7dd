"""A snapshot before which a command freezes what runs in the guest, and after which one thaws it."""

import os
import subprocess

import pulumi
import pulumi_vmsnapshot as vmsnapshot

config = pulumi.Config()
vm = config.require("virtualMachine")
freeze_command, thaw_command = config.require("freeze"), config.require("thaw")


def run(command: str) -> None:
    line = ["sh", "-c", command]
    whose = {**os.environ, "VM": vm}
    subprocess.run(line, check=True, timeout=60, env=whose)  # noqa: S603 - your own command


def freeze(_: pulumi.ResourceHookArgs) -> None:
    """A freeze that fails ends the update before anything is taken, and thaws what it may have frozen."""
    try:
        run(freeze_command)
    except subprocess.SubprocessError:
        run(thaw_command)
        raise


def thaw(_: pulumi.ResourceHookArgs) -> None:
    run(thaw_command)


def thaw_after_failure(_: pulumi.ErrorHookArgs) -> bool:
    run(thaw_command)
    return False  # no second try


vmsnapshot.VirtualMachineSnapshot(
    "frozen",
    vm_name=vm,
    name="frozen",
    description="Taken while the guest was at rest.",
    triggers={"release": config.get("release") or "1"},
    opts=pulumi.ResourceOptions(
        hooks=pulumi.ResourceHookBinding(
            before_create=[freeze],
            after_create=[thaw],
            on_error=[pulumi.ErrorHook("thaw-after-failure", thaw_after_failure)],
        )
    ),
)
