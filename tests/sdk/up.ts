// `node up.js EXAMPLE` updates the stack STACK of the project PROJECT in the working directory, with the program
// in that folder of examples/ as an inline program of the Automation API: no language host takes part.

import { LocalWorkspace } from "@pulumi/pulumi/automation";

async function main(): Promise<void> {
    const { STACK: stackName = "", PROJECT: projectName = "" } = process.env;
    const program = async () => require(`./${process.argv[2]}/index.js`); // its exports are the stack's outputs
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
