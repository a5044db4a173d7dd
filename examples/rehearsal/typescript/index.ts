// Tries with clones whether all VMs of an environment would come up from a checkpoint.

import * as pulumi from "@pulumi/pulumi";
import * as vmsnapshot from "@vmsnapshot/pulumi-vmsnapshot";

const config = new pulumi.Config();

const rehearsal = new vmsnapshot.EnvironmentRehearsal("rehearsal", {
    virtualMachines: [
        // the waves of a rollback: the highest order first
        { vmName: "db-1", order: 1 },
        { vmName: "web-1" },
    ],
    to: config.require("label"),
    triggers: { night: config.get("night") ?? "" },
    waitForTools: config.get("wait") ?? "10m",
    // networks: { production: "rehearsal" }, // so that the check can reach the clones
    check: { command: ["sh", "../check.sh"] }, // a command of yours, which runs here
});

export const passed = rehearsal.passed;
export const seconds = rehearsal.seconds;
export const results = rehearsal.results;
