// Takes a restore point of a VM, then brings the VM back to a clean snapshot for each run.

import * as pulumi from "@pulumi/pulumi";
import * as vmsnapshot from "@vmsnapshot/pulumi-vmsnapshot";

const config = new pulumi.Config();
const vm = config.require("vm");

// As it is before this program does anything to it.
export const found = vmsnapshot.getVirtualMachine({ vmName: vm }).then((it) => it.machine.numCPUs);

const before = new vmsnapshot.VirtualMachineSnapshot("before", {
    vmName: vm,
    description: "The VM as it was before the first run.",
    childPolicy: vmsnapshot.ChildPolicy.Keep,
});

const lab = new vmsnapshot.VirtualMachineRevert(
    "lab",
    {
        vmName: vm,
        snapshot: config.require("clean"),
        triggers: { run: config.require("run") }, // another value asks for another revert
        powerPolicy: vmsnapshot.PowerPolicy.On,
        safetySnapshot: { keepUpdates: 1, deletePolicy: "remove" },
    },
    { dependsOn: before },
);

export const restorePoint = before.path;
export const revertedTo = lab.revertedTo.apply((it) => it?.name);
export const CPUs = lab.machine.apply((it) => it?.numCPUs);
