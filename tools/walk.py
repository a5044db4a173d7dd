"""Takes a bad release back on the simulator, and shows in a page what was printed.

What a step of the story printed stands in docs/environment-rollback.md between
`<!-- walk: STEP ... -->` and `<!-- /walk -->`. All is from one run of the real engine with the program of
examples/environment-rollback; lines are left out and shortened, none is made up. Run it by `make walk`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from devkit.places import ROOT
from tools.scenario import environment_of, simulator

EXAMPLES = ROOT / "examples"
DOCUMENT = ROOT / "docs" / "environment-rollback.md"
VMS = ("db-1", "app-1", "web-1", "web-2")
STACK = "shop"

# Lines that tell a reader nothing: long names, beginnings of work, what is as it was.
_NOTHING = re.compile(
    r"\s*$|@ |\s*\[(urn|id|provider)=|\s*pulumi:pulumi:Stack|.*(refresh|refreshing|updating)\b[^;]*$"
    r"|.*shop +$|(Previewing|Updating) |.*updating.*warning:"
)
# What a resource's line says besides its name and the work on it.
_ASIDE = re.compile(r"vmsnapshot:index:|\[diff: [^]]*\](; )?")
# What a line of progress counts: `taking checkpoint "release-41": 3 of 4 VMs`.
_COUNT = re.compile(r"\) .*: \d+ of \d+ VMs")


class Shop:
    """A repository with the program, its stack, and the VMs.

    Args:
        folder: For the repository, and for state and certificate beside it.
        environment: For all commands.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder / "shop"
        self._environment = environment
        self.printed: dict[str, str] = {}
        shutil.copytree(EXAMPLES / "ci-gate", folder / "ci-gate")
        source = EXAMPLES / "environment-rollback" / "python"
        shutil.copytree(source, self._folder, ignore=shutil.ignore_patterns("__pycache__"))
        project = self._folder / "Pulumi.yaml"
        program = yaml.safe_load(project.read_text(encoding="utf-8"))
        program["plugins"] = {"providers": [{"name": "vmsnapshot", "path": str(ROOT / "provider")}]}
        project.write_text(yaml.safe_dump(program), encoding="utf-8")
        self.run("git init --quiet --initial-branch main && git config advice.detachedHead false")
        self.run("git config user.name shop && git config user.email shop@example.com")
        self.run(f"pulumi stack init {STACK}")
        self.run("git add . && git commit --quiet --message Program")

    def run(self, command: str) -> str:
        """Give a shell a command; what it printed."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self._folder,
            env=self._environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            sys.exit(f"{command}\n{done.stdout}\nended with exit code {done.returncode}")
        return done.stdout

    def step(self, name: str, *commands: str) -> None:
        """Run the commands of one step of the story, and keep what they printed."""
        lines: list[str] = []
        for command in commands:
            lines += [f"$ {command}", *shortened(self.run(command))]
        self.printed[name] = "\n".join(lines)

    def others(self, *commands: str) -> None:
        """What others do to the VMs, with govc."""
        for command in commands:
            self.run(f"govc {command}")


def shortened(printed: str) -> list[str]:
    """The lines that tell a reader something."""
    lines = printed.replace("\r", "").split("\n")
    if "    --outputs:--" in lines:  # the stack's, after all that it has to say
        start = lines.index("    --outputs:--")
        end = next(index for index, line in enumerate(lines) if line.startswith("Resources:"))
        del lines[start:end]
    if "Diagnostics:" in lines:  # of an update: what the preview has said, once more
        start = lines.index("Diagnostics:")
        end = next(index for index, line in enumerate(lines) if line.startswith("Resources:"))
        del lines[start:end]
    kept = [_ASIDE.sub("", line).rstrip() for line in lines if not _NOTHING.match(line)]
    counts = [(found := _COUNT.search(line)) and found[0] for line in kept]
    # Of several lines with the same count, the last.
    return [
        line
        for line, count, following in zip(kept, counts, [*counts[1:], None], strict=False)
        if count is None or count != following
    ]


def walk(shop: Shop) -> None:
    """The story."""
    for number in range(36, 41):
        shop.run(f"pulumi config set release release-{number}")
        shop.run("pulumi up --yes --skip-preview")
    up = "pulumi up --yes --skip-preview"

    shop.step("release", *release(41))
    shop.step("checkpoint-preview", "pulumi preview --diff")
    shop.step("checkpoint", up)
    shop.step("gate", "../ci-gate/gate.sh")

    for command in release(42):
        shop.run(command)
    for name in ("web-1", "web-2"):
        shop.others(f"vm.power -off -force {name}", f"vm.change -vm {name} -c 8", f"vm.power -on {name}")
    shop.others("vm.disk.create -vm db-1 -name db-1/scratch -size 20G")
    shop.run("pulumi refresh --yes --skip-preview")  # so that only the way back is left to show

    shop.step("ask", "git checkout --quiet release-41", "pulumi config set rollbackTo release-41")
    shop.step("rollback-preview", "pulumi preview --diff")
    shop.step("rollback", up)
    shop.step("again", up)

    shop.run("git checkout --quiet --force main")
    shop.step("next", *release(43))
    shop.step("next-preview", "pulumi preview --diff")


def release(number: int) -> tuple[str, ...]:
    """What makes a commit a release: the stack's configuration and a tag name it alike."""
    return (
        f"pulumi config set release release-{number}",
        f"git commit --quiet --all --message 'Release {number}'",
        f"git tag release-{number}",
    )


def show(printed: dict[str, str]) -> None:
    """Put each step where the document shows it."""

    def block(found: re.Match[str]) -> str:
        lines = "\n".join(printed[name] for name in found[1].split())
        return f"<!-- walk: {found[1]} -->\n```text\n{lines}\n```\n<!-- /walk -->"

    text = DOCUMENT.read_text(encoding="utf-8")
    text = re.sub(r"<!-- walk: (.*?) -->\n.*?<!-- /walk -->", block, text, flags=re.DOTALL)
    DOCUMENT.write_text(text, encoding="utf-8")


def main() -> None:
    """Walk, and show it."""
    with tempfile.TemporaryDirectory(prefix="vmsnapshot-walk-") as name:
        folder = Path(name)
        with simulator(folder, VMS) as vsphere:
            # The simulator signs its own certificate.
            login = environment_of(folder, vsphere) | {"VSPHERE_ALLOW_UNVERIFIED_SSL": "true"}
            shop = Shop(folder, login)
            walk(shop)
    show(shop.printed)
    print(f"{DOCUMENT.relative_to(ROOT)} shows a new run")


if __name__ == "__main__":
    main()
