#!/bin/sh
# Takes a checkpoint whose label is the time; run by a schedule, in the folder of the program.
#
#     STACK=prod ./checkpoint.sh [ARGUMENT...]
#
# Arguments go to `pulumi up`. Run again within the same hour, as after a failure, it goes on with the same label.
set -eu
cd "$(dirname "$0")"
exec pulumi up --stack "${STACK:?the name of the stack}" --yes --non-interactive \
    --config "label=$(date -u +%Y-%m-%d-%H00)" "$@"
