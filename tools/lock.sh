#!/bin/sh
# Remakes the locks in requirements/ from the dependency groups of pyproject.toml and the provider's
# own dependencies. `make lock ARGS=--upgrade` takes newer versions.
#
# Each lock is universal (it holds for every platform and for Python 3.11 and newer) and hashed.
# uv's own lock format would write registry hosts into the repository, so it isn't used.
set -eu
cd "$(dirname "$0")/.."
uv=.build/bootstrap/bin/uv

compile() {
    out=requirements/$1.txt
    shift
    echo "$out"
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command "make lock" --output-file "$out" "$@"
}

compile bootstrap --group bootstrap ${ARGS:-}
compile go --group go ${ARGS:-}
compile node --group node ${ARGS:-}
compile runtime provider/pyproject.toml ${ARGS:-}
compile dev provider/pyproject.toml --group dev --constraints requirements/runtime.txt ${ARGS:-}
compile archive provider/pyproject.toml --group archive --constraints requirements/runtime.txt ${ARGS:-}
compile picture --group picture ${ARGS:-}
compile program sdk/python/pyproject.toml --group program --constraints requirements/runtime.txt ${ARGS:-}
# without the constraints: pulumi-policy holds protobuf at another version
compile examples sdk/python/pyproject.toml --group examples ${ARGS:-}

# npm's lock; it names no hosts either.
lock=tests/sdk/package-lock.json
echo "$lock"
if [ -n "${ARGS:-}" ]; then rm -f "$lock"; fi
npm --prefix tests/sdk install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved \
    --silent --no-audit --no-fund

if grep -n '://' requirements/*.txt || grep -n '"resolved"' "$lock"; then
    echo "a lock names a host: see above" >&2
    exit 1
fi
