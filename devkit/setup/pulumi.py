"""The Pulumi engine with its language hosts: the user's, or built from source."""

from __future__ import annotations

import shutil
from pathlib import Path

from devkit.places import BIN, TOOLS
from devkit.setup import go
from devkit.setup.parts import Part
from devkit.setup.running import find_program, find_recent, identity, in_dots, link, say, step

MINIMUM = (3, 250, 0)

LANGUAGE_HOSTS = ("pulumi-language-python", "pulumi-language-yaml")
# Hosts that only tests need, and their packages in the newest release of Pulumi's module that holds both: the
# modules that they are in since then aren't served by the Go module proxy.
TEST_HOSTS = {
    "pulumi-language-go": "github.com/pulumi/pulumi/sdk/v3/go/pulumi-language-go",
    "pulumi-language-nodejs": "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
}
# The Python host starts these scripts of its own module, and looks for them on PATH.
PYTHON_HOST_SCRIPTS = (
    "cmd/pulumi-language-python-exec",
    "dist/pulumi-analyzer-policy-python",
    "dist/pulumi-resource-pulumi-python",
)


def own_pulumi() -> tuple[Path | None, str]:
    """Finds the user's own Pulumi, if it will do.

    Returns:
        Its program, or None; and the reason in words.
    """
    program, shown = find_recent("pulumi", MINIMUM, "version")
    if program is None:
        return None, shown
    for host in LANGUAGE_HOSTS:
        if not _has_host(program, host):
            return None, f"the one on PATH lacks {host}"
    return program, f"Pulumi {shown} at {program} is used"


def _has_host(program: Path, host: str) -> bool:
    return (program.resolve().parent / host).exists() or find_program(host) is not None


def _make_pulumi() -> None:
    """Links .build/bin/pulumi to the user's Pulumi, or builds one, with its language hosts."""
    program, why = own_pulumi()
    if program:
        say(why)
        # Its own language hosts lie beside it or on PATH; ours would come first.
        for built in BIN.glob("pulumi-*"):
            built.unlink()
        link(BIN / "pulumi", program)
        return
    go.GO.prepare()
    say(f"Pulumi is built from source, once, because {why}: three programs")
    with step("  its engine: 3 to 6 minutes on 2 cores, about 500 MB to fetch"):
        _build(
            "pulumi",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{in_dots(MINIMUM)}",
        )
    with step("  its Python language host: half a minute"):
        _build("pulumi-language-python", "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python")
        _copy_python_host_scripts()
    with step("  its YAML language host: about 1 minute"):
        _build("pulumi-language-yaml", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml")


def _build(program: str, package: str, set_string: str = "") -> None:
    """Builds a program from the module in tools/ that is named after it."""
    linker = f"-s -w {set_string}".strip()
    go.build("pulumi", TOOLS / program, BIN / program, "build", "-ldflags", linker, package)


def _copy_python_host_scripts() -> None:
    """Copies the Python host's scripts out of its Go module, beside the host."""
    sdk = go.module_folder(TOOLS / "pulumi-language-python", "github.com/pulumi/pulumi/sdk/v3")
    for script in PYTHON_HOST_SCRIPTS:
        source = sdk / "python" / script
        target = BIN / source.name
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)


def _inputs() -> list[str | Path]:
    """Gives what Pulumi is made from, or which one of the user's is taken."""
    tools = ("pulumi", *LANGUAGE_HOSTS)
    locks = [TOOLS / tool / name for tool in tools for name in ("go.mod", "go.sum")]
    own = [identity(find_program(tool)) for tool in tools]
    return [*locks, *own]


# Needs Go only if there is no Pulumi to be used, so it asks for it itself.
PULUMI = Part("pulumi", (), _inputs, (BIN / "pulumi",), _make_pulumi)


def _make_test_hosts() -> None:
    """Builds the language hosts for Go and Node.js that the user's Pulumi doesn't have."""
    program, _ = own_pulumi()
    missing = [host for host in TEST_HOSTS if program is None or not _has_host(program, host)]
    if not missing:
        return
    go.GO.prepare()
    with step("Pulumi's language hosts for Go and Node.js: up to a minute"):
        for host in missing:
            linker = ("-ldflags", "-s -w")
            go.build("language-hosts", _TEST_HOSTS, BIN / host, "build", *linker, TEST_HOSTS[host])


_TEST_HOSTS = TOOLS / "pulumi-language-hosts"
LANGUAGE_HOSTS_FOR_TESTS = Part(
    "language-hosts",
    (PULUMI,),
    lambda: [_TEST_HOSTS, *(identity(find_program(tool)) for tool in ("pulumi", *TEST_HOSTS))],
    (),
    _make_test_hosts,
)
