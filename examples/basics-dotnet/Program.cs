// Takes a restore point of a VM, then brings the VM back to a clean snapshot for each run.
using System.Collections.Generic;
using Pulumi;
using Vmsnapshot.PulumiVmsnapshot;
using Vmsnapshot.PulumiVmsnapshot.Inputs;

return await Deployment.RunAsync(() =>
{
    var config = new Pulumi.Config();
    var vm = config.Require("vm");

    // As it is before this program does anything to it.
    var found = GetVirtualMachine.Invoke(new() { VmName = vm });

    var before = new VirtualMachineSnapshot("before", new()
    {
        VmName = vm,
        Description = "The VM as it was before the first run.",
        ChildPolicy = ChildPolicy.Keep,
    });

    var lab = new VirtualMachineRevert("lab", new()
    {
        VmName = vm,
        Snapshot = config.Require("clean"),
        Triggers = { { "run", config.Require("run") } }, // another value asks for another revert
        PowerPolicy = PowerPolicy.On,
        SafetySnapshot = new SafetySnapshotArgs
        {
            KeepUpdates = 1,
            DeletePolicy = SafetyDeletePolicy.Remove,
        },
    }, new() { DependsOn = { before } });

    return new Dictionary<string, object?>
    {
        ["found"] = found.Apply(it => it.Machine.NumCPUs),
        ["restorePoint"] = before.Path,
        ["revertedTo"] = lab.RevertedTo.Apply(it => it?.Name),
        ["CPUs"] = lab.Machine.Apply(it => it?.NumCPUs),
    };
});
