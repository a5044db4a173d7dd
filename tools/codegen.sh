#!/bin/sh
# Makes the SDKs from schema.json (or SCHEMA): tools/codegen.sh FOLDER. `make codegen` and `make lint` call this.
#
# schema.json holds no version; the SDKs get the provider's. What each language's registry shows beside an SDK
# (README.md from tools/sdk, LICENSE) isn't generated.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' provider/src/vmsnapshot/_version.py)
.build/bin/vmsnapshot-codegen -schema "${SCHEMA:-schema.json}" -version "$version" -out "$1" python nodejs go
.build/bin/vmsnapshot-codegen-dotnet -schema "${SCHEMA:-schema.json}" -version "$version" -logo docs/logo.png -out "$1"
.build/bin/vmsnapshot-codegen-java -schema "${SCHEMA:-schema.json}" -version "$version" -out "$1"
for language in python nodejs go dotnet java; do
    cp "tools/sdk/$language.md" "$1/$language/README.md"
    cp LICENSE "$1/$language/LICENSE"
done
