#!/bin/sh
# Stops CI before an update when the environment could not go back to its last checkpoint.
#
#     cd my-environment && .../gate.sh [LABEL [ARGUMENT...]] && pulumi up --yes
#
# LABEL is another checkpoint. MAX_AGE=26h in the environment also stops when it is older than that. Arguments go to `pulumi preview`: --config vmsnapshot:caFile=/etc/ssl/vc.pem
# Exit codes: 0, every VM can go back; 1, not every VM can, or that could not be told.
set -eu

stop() {
    printf 'gate: STOP. %s\n' "$1" >&2
    exit 1
}

members=$(pulumi stack output virtualMachines --json) || stop "The stack has no output virtualMachines."
if [ $# -gt 0 ]; then
    label=$1
    shift
else
    label=$(pulumi stack output latest) || stop "The stack has no output latest: no complete checkpoint."
fi

# A program of its own, with a state of its own that nobody keeps.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/Pulumi.yaml" <<END
name: ci-gate
runtime: yaml
variables:
  rollback:
    fn::invoke:
      function: vmsnapshot:checkRollback
      arguments: { to: "$label", virtualMachines: $members${MAX_AGE:+, maxAge: $MAX_AGE} }
outputs:
  rollback: \${rollback.text}
END
unset PULUMI_STACK
export PULUMI_BACKEND_URL="file://$work" PULUMI_CONFIG_PASSPHRASE=none
ask() {
    pulumi --cwd "$work" --non-interactive --color never "$@" >>"$work/log" 2>&1
}
if ! { ask stack init gate && ask preview --diff "$@"; }; then
    sed -n '/error: /,$p' "$work/log" | sed '/on Pulumi.yaml line/,$d' >&2
    stop "It is not sure that every VM can go back to \"$label\", see above. Nothing was changed."
fi
printf 'gate: go. Every VM can go back to "%s".\n' "$label"
