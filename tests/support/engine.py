"""Drives the real Pulumi engine: one stack in one folder, with state, plugins and settings of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from devkit.places import BINARIES
from devkit.processes import clean_environment, descendants
from tests.support import vault
from vmsnapshot._version import __version__

# The files of a new stack, by its name.
_NEW: dict[str, dict[Path, bytes]] = {}
# Plugins of this checkout. The engine keeps a schema in its home if the project names the plugin's version;
# without it, each command of a YAML program would start one more plugin to ask for it.
_OURS = {"vmsnapshot", "fake"}
# The schemas that were asked for, by their places in that home: a new stack begins with them.
_ASKED: dict[Path, bytes] = {}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, and what it wrote to both of its outputs."""

    command: tuple[str, ...]
    code: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.code == 0

    def check(self) -> Outcome:
        """The same outcome; an assertion error with the whole text unless it succeeded."""
        assert self.ok, f"{self} should have succeeded"
        return self

    def failed(self) -> Outcome:
        """The same outcome; an assertion error with the whole text if it succeeded."""
        assert not self.ok, f"{self} should have failed"
        return self

    def __str__(self) -> str:
        """The command, its code and its whole text."""
        return f"$ {' '.join(self.command)}\n(exit code {self.code})\n{self.text}"


def run_command(command: str, folder: Path, environment: Mapping[str, str]) -> Outcome:
    """Run a line of a shell to its end, as a person at a terminal writes it; ends with its first error."""
    ran = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=200,  # it hangs
    )
    return Outcome((command,), ran.returncode, ran.stdout)


class Running:
    """A command that was started and not yet waited for."""

    def __init__(self, process: subprocess.Popen[str], log: Path, command: tuple[str, ...]) -> None:
        self._log = log
        self._command = command
        self.process = process

    @property
    def text(self) -> str:
        """What it has written up to now."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def interrupt(self) -> None:
        """What Ctrl-C does: the engine asks its plugins to cancel."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the engine without letting it know: its plugins aren't told.

        What runs the program does not notice that, and would stay for ever: it is ended, too.
        """
        hosts = [
            number
            for number, command in descendants(self.process.pid).items()
            if Path(command.partition(" ")[0]).name.startswith("pulumi-language-")
        ]
        running = [number for host in hosts for number in (host, *descendants(host))]
        self.process.kill()
        for number in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def wait(self, seconds: float = 110) -> Outcome:
        """Wait until it ends."""
        return Outcome(self._command, self.process.wait(seconds), self.text)


class Stack:
    """A stack of a project in a folder.

    State is local (`folder/state`), and so are the engine's home and its settings; ports are
    chosen by the engine. Commands never ask and never use colour.

    Args:
        folder: A new or empty folder.
        plugins: Folders that hold an executable `pulumi-resource-NAME`, by package name.
        runtime: The program's language.
        environment: Set for every command, besides this module's own.
        name: The stack's name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        plugins: Mapping[str, Path],
        runtime: str = "yaml",
        environment: Mapping[str, str] | None = None,
        name: str = "dev",
    ) -> None:
        assert "VMSNAPSHOT_TEST_FAST" not in os.environ, "the fast half uses no engine: see tests/conftest.py"
        self.project = folder / "project"
        self.name = name
        self._plugins = dict(plugins)
        self._runtime = runtime
        self._state = folder / "state"
        self._home = folder / "home"
        for made in (self.project, self._state, self._home):
            made.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **clean_environment(),
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{self._state}",
            "PULUMI_CONFIG_PASSPHRASE": "made up for tests",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(self._home),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_STACK": name,
            # Not the user's own, where nothing else says which.
            "XDG_STATE_HOME": os.environ.get("XDG_STATE_HOME", str(folder / "user-state")),
            **vault.environment(),
            "GOGC": "400",  # the engine lives for a second: a tenth of that would be collecting garbage
            **(environment or {}),
        }
        self._started: list[Running] = []
        self.write({})
        self._begin()

    def _begin(self) -> None:
        """Make the stack; a second one of the same name from the files of the first: a command takes time."""
        folder = self.project.parent
        if self.name not in _NEW:
            self.run("stack", "init", self.name, "--secrets-provider", vault.PROVIDER).check()
            made = [*self._state.rglob("*"), self.project / f"Pulumi.{self.name}.yaml"]
            _NEW[self.name] = {
                path.relative_to(folder): path.read_bytes()
                for path in made
                if path.is_file() and "backups" not in path.parts
            }
        for path, data in _NEW[self.name].items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        for path in map(_schema, _OURS & self._plugins.keys()):
            if path in _ASKED:
                (self._home / path).parent.mkdir(exist_ok=True)
                (self._home / path).write_bytes(_ASKED[path])

    def write(self, program: Mapping[str, Any]) -> None:
        """Write Pulumi.yaml; `program` holds a YAML program's own keys (resources, outputs, ...)."""
        providers = [
            {"name": package, "path": str(path)} | ({"version": __version__} if package in _OURS else {})
            for package, path in self._plugins.items()
        ]
        document = {
            "name": "made-up",
            "runtime": self._runtime,
            "plugins": {"providers": providers},
            **program,
        }
        # JSON is YAML too, and needs no library; only its escapes of emoji are not.
        (self.project / "Pulumi.yaml").write_text(
            json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8"
        )

    def config(self, key: str, value: str, *, secret: bool = False) -> None:
        """Set a value of the stack's configuration."""
        if secret:  # the engine encrypts it
            self.run("config", "set", "--secret", key, "--", value).check()
            return
        path = self.project / f"Pulumi.{self.name}.yaml"  # written here: a command takes a second
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        settings.setdefault("config", {})[key if ":" in key else f"made-up:{key}"] = value
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def preview(self, *arguments: str) -> Outcome:
        """Show what an update would do, in full."""
        return self.run("preview", "--diff", *arguments)

    def up(self, *arguments: str) -> Outcome:
        """Update, without a preview unless `arguments` ask for one."""
        return self.run("up", "--yes", "--skip-preview", *arguments)

    def refresh(self, *arguments: str) -> Outcome:
        """Bring the state up to what the platform says."""
        return self.run("refresh", "--yes", "--skip-preview", "--diff", *arguments)

    def destroy(self, *arguments: str) -> Outcome:
        """Delete all resources."""
        return self.run("destroy", "--yes", "--skip-preview", *arguments)

    def import_(self, token: str, name: str, id: str, *arguments: str) -> Outcome:  # noqa: A002 - the engine's term
        """Take an existing thing into the stack."""
        return self.run("import", token, name, id, "--yes", "--skip-preview", "--protect=false", *arguments)

    def export(self) -> dict[str, Any]:
        """The stack's state, secrets in plain text."""
        text = self.run("stack", "export", "--show-secrets").check().text
        exported: dict[str, Any] = json.loads(text[text.index("{") :])
        return exported

    def resource(self, name: str) -> dict[str, Any]:
        """A resource's entry in the state by its name in the program, secrets in plain text."""
        stored = self._state / ".pulumi" / "stacks" / "made-up" / f"{self.name}.json"
        checkpoint = json.loads(stored.read_text(encoding="utf-8"))["checkpoint"]
        entry = _named(checkpoint["latest"].get("resources", []), name)
        if '"ciphertext"' in json.dumps(entry):  # what is encrypted takes a command to read
            return _named(self.export()["deployment"]["resources"], name)
        return entry

    def state_text(self) -> str:
        """Everything that is stored on disk for the stack, as it is stored."""
        files = sorted(path for path in self._state.rglob("*") if path.is_file())
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    def run(self, *arguments: str) -> Outcome:
        """Run a command to its end."""
        outcome = self.start(*arguments).wait()
        for path in map(_schema, _OURS & self._plugins.keys()):
            if path not in _ASKED and (self._home / path).exists():
                _ASKED[path] = (self._home / path).read_bytes()
        return outcome

    def start(self, *arguments: str) -> Running:
        """Start a command and go on; whoever starts it waits for it."""
        command = ["pulumi", "--non-interactive", "--color", "never", *arguments]
        # A file and not a pipe: a plugin that outlives the engine would keep a pipe open.
        with tempfile.NamedTemporaryFile(dir=self.project.parent, suffix=".log", delete=False) as log:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._started.append(Running(process, Path(log.name), tuple(command)))
        return self._started[-1]

    def close(self) -> None:
        """End what a failed test has left running; plugins end with their engine."""
        for running in self._started:
            if running.process.poll() is None:
                running.kill()
                running.process.wait()


def _schema(package: str) -> Path:
    return Path("schemas") / f"{package}-{__version__}.json"


def _named(resources: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [item for item in resources if item["urn"].rpartition("::")[2] == name]
    assert len(found) == 1, f"{name!r} should be in the state once: {resources}"
    return found[0]
