#!/bin/sh
# All checks that need no running program. `make lint` calls this, with the tools on PATH.
# Every check runs, also when an earlier one failed.
set -u
cd "$(dirname "$0")/.."
failed=""

check() {
    name=$1
    shift
    printf '== %s\n' "$name"
    if ! "$@"; then
        failed="$failed
  $name"
    fi
}

schema_up_to_date() {
    python -m vmsnapshot.model.schema > .build/schema.json || return 1
    for made in schema.json provider/src/vmsnapshot/model/schema.json; do
        if ! diff -u $made .build/schema.json; then
            echo "$made doesn't say what the model says. Run: make codegen" >&2
            return 1
        fi
    done
}

sdk_up_to_date() {
    rm -rf .build/sdk
    sh tools/codegen.sh .build/sdk || return 1
    # What the languages' tools leave in sdk/, and Go's lock of the SDK's requirements, isn't generated.
    if ! diff -ru --exclude='*.egg-info' --exclude=__pycache__ --exclude=bin --exclude=obj --exclude=node_modules \
        --exclude=target --exclude=go.mod --exclude=go.sum sdk .build/sdk; then
        echo "sdk/ doesn't say what schema.json says. Run: make codegen" >&2
        return 1
    fi
}

go_formatted() {
    unformatted=$(gofmt -l simulator tools examples sdk)
    if [ -n "$unformatted" ]; then
        printf '%s\nThese are not formatted. Run: make format\n' "$unformatted" >&2
        return 1
    fi
}

go_vet() {
    folder=$1
    shift
    (cd "$folder" && go vet "${@:-./...}")
}

# The same settings as in devkit/setup/go.py, so that Go's build cache is shared.
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOTOOLCHAIN=local GOWORK=off

check "ruff check" ruff check --quiet --output-format concise
check "ruff format" ruff format --check --quiet --output-format concise
check "mypy" mypy
check "import-linter" lint-imports --no-logo
check "codespell" codespell
check "gofmt" go_formatted
check "go vet simulator" go_vet simulator
check "go vet govc" go_vet tools/govc
check "go vet codegen" go_vet tools/pulumi
check "go vet codegen of .NET" go_vet tools/dotnet
check "go vet codegen of Java" go_vet tools/java
check "go vet sdk and its example" go_vet examples/basics-go . github.com/vmsnapshot/pulumi-vmsnapshot/sdk/go/...
check "go vet guest-hooks" go_vet examples/guest-hooks/go
check "go vet rehearsal" go_vet examples/rehearsal/go
check "schema.json is up to date" schema_up_to_date
check "schema.json is valid" pulumi schema check schema.json
check "sdk is up to date" sdk_up_to_date

if [ -n "$failed" ]; then
    printf '\nThese checks failed:%s\n' "$failed" >&2
    exit 1
fi
printf '\nAll checks passed.\n'
