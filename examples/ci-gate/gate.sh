#!/bin/sh
# Stops CI before an update when the environment could not go back to its last checkpoint.
#
#     cd my-environment && .../gate.sh [LABEL [ARGUMENT...]] && pulumi up --yes
#
# LABEL is another checkpoint. MAX_AGE=26h in the environment also stops when it is older than that. The login and
# the other settings are those of the stack (`pulumi config`), else of the environment. Arguments go to
# `pulumi preview`.
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

# The stack's own settings, each under the name that it has in the environment: secrets are written to no file.
settings='
backend=VMSNAPSHOT_BACKEND
vsphereServer=VSPHERE_SERVER
user=VSPHERE_USER
password=VSPHERE_PASSWORD
ssoToken=VMSNAPSHOT_SSO_TOKEN
persistSession=VSPHERE_PERSIST_SESSION
vimSessionPath=VSPHERE_VIM_SESSION_PATH
allowUnverifiedSsl=VSPHERE_ALLOW_UNVERIFIED_SSL
caFile=VMSNAPSHOT_CA_FILE
thumbprint=VMSNAPSHOT_THUMBPRINT
movedFromServer=VMSNAPSHOT_MOVED_FROM_SERVER
ignoreTaskHistory=VMSNAPSHOT_IGNORE_TASK_HISTORY
debugLog=VMSNAPSHOT_DEBUG_LOG
kubeconfig=KUBECONFIG
context=VMSNAPSHOT_CONTEXT
namespace=VMSNAPSHOT_NAMESPACE
'
vsphere='' vmoperator=''
configured=$(pulumi config --json) || stop "The stack's configuration could not be read."
for setting in $settings; do
    key=vmsnapshot:${setting%%=*}
    case $configured in *"\"$key\":"*) ;; *) continue ;; esac
    value=$(pulumi config get "$key") || stop "$key could not be read."
    export "${setting#*=}=$value"
    case ${setting%%=*} in
    backend | movedFromServer | debugLog) ;;
    kubeconfig | context | namespace) vmoperator=yes ;;
    *) vsphere=yes ;;
    esac
done
# As in the stack, its own settings say which platform is meant, whatever the environment has of the other.
if [ -z "${VMSNAPSHOT_BACKEND-}" ] && [ "$vsphere$vmoperator" = yes ]; then
    export VMSNAPSHOT_BACKEND="${vsphere:+vsphere}${vmoperator:+vmoperator}"
fi

# The program below is in another folder: the paths of files, the stack's and the environment's, are made absolute.
absolute() {
    case $1 in '' | /* | '~'*) printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac
}
for variable in VMSNAPSHOT_CA_FILE VMSNAPSHOT_DEBUG_LOG VSPHERE_VIM_SESSION_PATH GOVMOMI_HOME; do
    eval "value=\${$variable-}"
    [ -z "$value" ] || export "$variable=$(absolute "$value")"
done
# Of kubeconfigs there may be several; or it is a kubeconfig itself.
case ${KUBECONFIG-} in
'' | '{'* | *'
'*) ;;
*)
    paths=$(printf '%s\n' "$KUBECONFIG" | tr : '\n' | while read -r path; do absolute "$path" && printf :; done)
    export KUBECONFIG="${paths%:}"
    ;;
esac

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
