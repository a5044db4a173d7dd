#!/bin/sh
# Rehearses a rollback: clones all VMs from a checkpoint, isolated, waits until their guests are up, runs a check,
# and deletes the clones again, whatever came of it. It fails unless all is well.
#
#     STACK=rehearsal LABEL=2026-11-27-0200 ./rehearse.sh [CHECK...]
#
# CHECK is a command of yours, which runs here. The environment variable CLONES holds the clones as JSON: by the VM's
# name the clone's name and its addresses.
set -u
cd "$(dirname "$0")" || exit 1
stack=${STACK:?the name of the stack} label=${LABEL:?the checkpoint to rehearse}

verdict=0
pulumi up --stack "$stack" --yes --non-interactive --skip-preview --config "label=$label" || verdict=1
if [ "$verdict" = 0 ] && [ "$#" -gt 0 ]; then
    CLONES=$(pulumi stack output clones --json --stack "$stack") && export CLONES && "$@" || verdict=1
fi

# A failed delete is a failure, too: what is left costs room, and keeps its snapshots.
pulumi destroy --stack "$stack" --yes --non-interactive --skip-preview || verdict=1
if [ "$verdict" = 0 ]; then
    echo "rehearsal: \"$label\" comes up."
else
    echo "rehearsal: \"$label\" does NOT come up, or what was made could not be deleted: see above." >&2
fi
exit "$verdict"
