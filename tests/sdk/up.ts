// Updates the stack STACK of the project PROJECT in the working directory, with the example as an inline
// program of the Automation API: no language host takes part.

import { LocalWorkspace } from "@pulumi/pulumi/automation";

async function main(): Promise<void> {
    const { STACK: stackName = "", PROJECT: projectName = "" } = process.env;
    const program = async () => require("./index.js"); // what it exports is the stack's outputs
    const stack = await LocalWorkspace.selectStack(
        { stackName, projectName, program },
        { workDir: process.cwd() },
    );
    await stack.up({ onOutput: (text) => process.stdout.write(text) });
}

main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
});
