// Tries with clones whether all VMs of an environment would come up from a checkpoint.
package rehearsal;

import com.pulumi.Pulumi;
import io.github.vmsnapshot.vmsnapshot.EnvironmentRehearsal;
import io.github.vmsnapshot.vmsnapshot.EnvironmentRehearsalArgs;
import io.github.vmsnapshot.vmsnapshot.inputs.EnvironmentMemberArgs;
import io.github.vmsnapshot.vmsnapshot.inputs.RehearsalCheckArgs;
import io.github.vmsnapshot.vmsnapshot.outputs.RehearsedMachine;
import java.util.Map;
import java.util.stream.Collectors;

public class App {
    public static void main(String[] args) {
        Pulumi.run(context -> {
            var config = context.config();

            var rehearsal = new EnvironmentRehearsal("rehearsal", EnvironmentRehearsalArgs.builder()
                .virtualMachines( // the waves of a rollback: the highest order first
                    EnvironmentMemberArgs.builder().vmName("db-1").order(1).build(),
                    EnvironmentMemberArgs.builder().vmName("web-1").build())
                .to(config.require("label"))
                .triggers(Map.of("night", config.get("night").orElse("")))
                .waitForTools(config.get("wait").orElse("10m"))
                // .networks(Map.of("production", "rehearsal")) // so that the check can reach the clones
                .check(RehearsalCheckArgs.builder()
                    .command("sh", "../check.sh") // a command of yours, which runs here
                    .build())
                .build());

            context.export("passed", rehearsal.passed());
            context.export("seconds", rehearsal.seconds());
            // Not the results themselves: Pulumi's SDK for Java exports no objects of a provider's types.
            context.export("bootSeconds", rehearsal.results().applyValue(App::bootSeconds));
        });
    }

    private static Map<String, Double> bootSeconds(Map<String, RehearsedMachine> results) {
        return results.entrySet().stream()
            .filter(result -> result.getValue().bootSeconds().isPresent())
            .collect(Collectors.toMap(Map.Entry::getKey, result -> result.getValue().bootSeconds().get()));
    }
}
