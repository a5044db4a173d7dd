// Takes a restore point of a VM, then brings the VM back to a clean snapshot for each run.
package basics;

import com.pulumi.Pulumi;
import com.pulumi.core.Output;
import com.pulumi.resources.CustomResourceOptions;
import io.github.vmsnapshot.vmsnapshot.VirtualMachineRevert;
import io.github.vmsnapshot.vmsnapshot.VirtualMachineRevertArgs;
import io.github.vmsnapshot.vmsnapshot.VirtualMachineSnapshot;
import io.github.vmsnapshot.vmsnapshot.VirtualMachineSnapshotArgs;
import io.github.vmsnapshot.vmsnapshot.VmsnapshotFunctions;
import io.github.vmsnapshot.vmsnapshot.enums.ChildPolicy;
import io.github.vmsnapshot.vmsnapshot.enums.PowerPolicy;
import io.github.vmsnapshot.vmsnapshot.enums.SafetyDeletePolicy;
import io.github.vmsnapshot.vmsnapshot.inputs.GetVirtualMachinePlainArgs;
import io.github.vmsnapshot.vmsnapshot.inputs.SafetySnapshotArgs;
import io.github.vmsnapshot.vmsnapshot.outputs.Machine;
import io.github.vmsnapshot.vmsnapshot.outputs.RevertedTo;
import java.util.Map;

public class App {
    public static void main(String[] args) {
        Pulumi.run(context -> {
            var config = context.config();
            var vm = config.require("vm");

            // As it is before this program does anything to it.
            var found = VmsnapshotFunctions.getVirtualMachinePlain(
                    GetVirtualMachinePlainArgs.builder().vmName(vm).build())
                .join();

            var before = new VirtualMachineSnapshot("before", VirtualMachineSnapshotArgs.builder()
                .vmName(vm)
                .description("The VM as it was before the first run.")
                .childPolicy(ChildPolicy.Keep)
                .build());

            var lab = new VirtualMachineRevert("lab", VirtualMachineRevertArgs.builder()
                .vmName(vm)
                .snapshot(config.require("clean"))
                .triggers(Map.of("run", config.require("run"))) // another value asks for another revert
                .powerPolicy(PowerPolicy.On)
                .safetySnapshot(SafetySnapshotArgs.builder()
                    .keepUpdates(1)
                    .deletePolicy(SafetyDeletePolicy.Remove)
                    .build())
                .build(),
                CustomResourceOptions.builder().dependsOn(before).build());

            context.export("found", Output.of(found.machine().numCPUs()));
            context.export("restorePoint", before.path());
            context.export("revertedTo", lab.revertedTo().applyValue(it -> it.map(RevertedTo::name)));
            context.export("CPUs", lab.machine().applyValue(it -> it.flatMap(Machine::numCPUs)));
        });
    }
}
