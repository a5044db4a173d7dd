// A snapshot before which a command freezes what runs in the guest, and after which one thaws it.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import * as pulumi from "@pulumi/pulumi";
import * as vmsnapshot from "@vmsnapshot/pulumi-vmsnapshot";

const config = new pulumi.Config();
const vm = config.require("virtualMachine");
const freezeCommand = config.require("freeze");
const thawCommand = config.require("thaw");

async function run(command: string): Promise<void> {
    const env = { ...process.env, VM: vm };
    await promisify(execFile)("sh", ["-c", command], { env, timeout: 60_000 });
}

// A freeze that fails ends the update before anything is taken, and thaws what it may have frozen.
async function freeze(): Promise<void> {
    try {
        await run(freezeCommand);
    } catch (error) {
        await run(thawCommand);
        throw error;
    }
}

async function thaw(): Promise<void> {
    await run(thawCommand);
}

async function thawAfterFailure(): Promise<boolean> {
    await run(thawCommand);
    return false; // no second try
}

new vmsnapshot.VirtualMachineSnapshot(
    "frozen",
    {
        vmName: vm,
        name: "frozen",
        description: "Taken while the guest was at rest.",
        triggers: { release: config.get("release") ?? "1" },
    },
    {
        hooks: {
            beforeCreate: [freeze],
            afterCreate: [thaw],
            onError: [new pulumi.ErrorHook("thaw-after-failure", thawAfterFailure)],
        },
    },
);
