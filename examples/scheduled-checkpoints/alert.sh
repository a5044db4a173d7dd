#!/bin/sh
# Fails when the last checkpoint is older than MAX_AGE (default: 26h) or a VM could not go back to it.
#
#     STACK=prod ./alert.sh [ARGUMENT...]
#
# It has a schedule of its own: a job that never ran can't report itself.
set -eu
cd "$(dirname "$0")"
pulumi stack select "${STACK:?the name of the stack}"
latest=$(pulumi stack output latest) || { echo "alert: there is no checkpoint." >&2; exit 1; }
export MAX_AGE="${MAX_AGE:-26h}"
exec ../ci-gate/gate.sh "$latest" "$@"
