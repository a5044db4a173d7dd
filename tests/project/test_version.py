"""What people copy names the version that is there."""

import re

import pytest

from devkit import places
from vmsnapshot._version import __version__


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("README.md", r"plugin install resource vmsnapshot (\S+) "),
        ("README.md", r"pulumi-resource-vmsnapshot-v(.+)-linux"),
        ("README.md", r"pulumi_vmsnapshot-(.+)-py3"),
        ("README.md", r"vmsnapshot-pulumi-vmsnapshot-(.+)\.tgz"),
        ("README.md", r"-require \$MODULE@v(\S+)"),
        ("docs/installation-configuration.md", r"^VERSION=(.+)"),
        ("examples/basics-typescript/package.json", r'"@vmsnapshot/pulumi-vmsnapshot": "\^(.+)"'),
        ("examples/guest-hooks/typescript/package.json", r'"@vmsnapshot/pulumi-vmsnapshot": "\^(.+)"'),
        ("examples/rehearsal/typescript/package.json", r'"@vmsnapshot/pulumi-vmsnapshot": "\^(.+)"'),
        ("examples/basics-go/go.mod", r"vmsnapshot/sdk/go v(.+)"),
        ("examples/guest-hooks/go/go.mod", r"vmsnapshot/sdk/go v(.+)"),
        ("examples/rehearsal/go/go.mod", r"vmsnapshot/sdk/go v(.+)"),
        ("examples/basics-java/pom.xml", r"<artifactId>vmsnapshot</artifactId>\s+<version>(.+)</version>"),
        ("examples/rehearsal/java/pom.xml", r"<artifactId>vmsnapshot</artifactId>\s+<version>(.+)</version>"),
        ("sdk/go/vmsnapshot/pulumi-plugin.json", r'"version": "(.+)"'),
        ("sdk/nodejs/package.json", r'^    "version": "(.+)"'),
        ("sdk/python/pyproject.toml", r'version = "(.+)"'),
    ],
)
def test_one_version(file: str, pattern: str) -> None:
    """Commands, examples and SDKs name the provider's version."""
    text = (places.ROOT / file).read_text(encoding="utf-8")
    assert re.findall(pattern, text, re.MULTILINE) == [__version__]
