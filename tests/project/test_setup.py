"""The set-up program: what it takes for made, and what it makes anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devkit import places
from devkit.setup import go, kubernetes, node, parts, pulumi, running
from devkit.setup.parts import Part


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go1.27", (1, 27)),
        ("v3.250.0", (3, 250, 0)),
        ("v3.251.0-alpha.1+dirty", (3, 251, 0)),
        ("Python 3.10.13", (3, 10, 13)),
        ("", ()),
        ("command not found", ()),
    ],
)
def test_version_is_found_in_what_programs_print(printed: str, version: tuple[int, ...]) -> None:
    """The first number with a dot is the version; no version is lower than any."""
    assert running.version_in(printed) == version


def test_a_program_that_prints_no_version_is_too_old() -> None:
    """An unusable Go or Pulumi on PATH is passed over."""
    assert running.version_in("broken") < go.MINIMUM


class Project:
    """A project in a folder of its own with one part.

    Attributes:
        made: One entry for each time that the part was made.
        part: The part, made by `make` from the folder `source`.
    """

    def __init__(self, folder: Path) -> None:
        self.made: list[str] = []
        self._result = folder / "result"
        (folder / "source").mkdir()
        (folder / "source" / "go.mod").write_text("module thing")
        self.part = Part("thing", (), lambda: [folder / "source"], (self._result,), self.make)

    def make(self) -> None:
        """Make the part."""
        self.made.append("once")
        self._result.touch()

    def set_up(self) -> int:
        """Run the set-up program; its exit code."""
        return parts.main(["thing"], {"thing": self.part})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a folder of its own."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(places, "BUILD", tmp_path / "build")
    monkeypatch.setattr(places, "LOGS", tmp_path / "build" / "log")
    monkeypatch.setattr(places, "STAMPS", tmp_path / "build" / "stamps")
    return Project(tmp_path)


def test_a_part_is_made_once(project: Project) -> None:
    """The second run finds what the first one made."""
    assert project.set_up() == 0
    assert project.set_up() == 0
    assert project.made == ["once"]


def test_a_changed_source_makes_it_anew(project: Project, tmp_path: Path) -> None:
    """A stamp holds only as long as what went in stays the same."""
    project.set_up()
    (tmp_path / "source" / "go.mod").write_text("module thing\n")
    project.set_up()
    assert len(project.made) == 2


def test_a_moved_file_makes_it_anew(project: Project, tmp_path: Path) -> None:
    """Names count, not only contents."""
    project.set_up()
    (tmp_path / "source" / "go.mod").rename(tmp_path / "source" / "go.sum")
    project.set_up()
    assert len(project.made) == 2


def test_a_removed_result_makes_it_anew(project: Project, tmp_path: Path) -> None:
    """A stamp alone is not enough."""
    project.set_up()
    (tmp_path / "result").unlink()
    project.set_up()
    assert len(project.made) == 2


def test_hidden_files_do_not_count(project: Project, tmp_path: Path) -> None:
    """An editor's swap file is no change of the sources."""
    project.set_up()
    (tmp_path / "source" / ".go.mod.swp").touch()
    project.set_up()
    assert project.made == ["once"]


def test_an_edit_during_the_build_is_not_lost(project: Project, tmp_path: Path) -> None:
    """The stamp says what went in at the start, so the next run builds again."""

    def make() -> None:
        (tmp_path / "source" / "go.mod").write_text("edited meanwhile")
        project.make()

    project.part = Part(project.part.name, (), project.part.inputs, project.part.results, make)
    project.set_up()
    assert project.made == ["once"]
    assert not project.part.ready()


def test_what_a_part_needs_is_made_first(project: Project) -> None:
    """A part that needs another is made after it."""
    above = Part("above", (project.part,), list, (), lambda: project.made.append("above"))
    assert parts.main(["above"], {"above": above}) == 0
    assert project.made == ["once", "above"]


def test_a_failing_step_shows_the_end_of_its_log(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    """The person sees the command's own words and what to do, and the part counts as not made."""

    def make() -> None:
        running.run("thing", sys.executable, "-c", "print('boom'); raise SystemExit(3)", hint="try again.")

    project.part = Part("thing", (), list, (), make)
    assert project.set_up() == 1
    said = capfd.readouterr().err
    assert "exit code 3" in said
    assert "    boom" in said
    assert "What to do: try again." in said
    assert not project.part.ready()


def test_an_unknown_part_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """A typing error in the Makefile doesn't pass silently."""
    ran = subprocess.run([sys.executable, "-m", "devkit.setup", "simulatr"], cwd=places.ROOT, check=False)
    assert ran.returncode == 2
    assert "simulator" in capfd.readouterr().err


def test_what_the_project_built_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own .build/bin on PATH never makes a pulumi look like the user's."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "pulumi").write_text("#!/bin/sh\n")
        (folder / "pulumi").chmod(0o755)
    monkeypatch.setattr(places, "BIN", ours)
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{theirs}")
    assert running.find_program("pulumi") == theirs / "pulumi"
    monkeypatch.setenv("PATH", str(ours))
    assert running.find_program("pulumi") is None


def test_an_old_pulumi_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pulumi older than what the provider needs isn't used, and the reason is said."""
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\necho v3.100.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pulumi.own_pulumi() == (None, "the one on PATH is 3.100.0, older than 3.250.0")


def test_a_recent_pulumi_is_used_with_its_own_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pulumi without a language host beside it won't do; with both it is used."""
    for name in ("pulumi", *pulumi.LANGUAGE_HOSTS):
        (tmp_path / name).write_text("#!/bin/sh\necho v3.260.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pulumi.own_pulumi()[0] == tmp_path / "pulumi"
    (tmp_path / "pulumi-language-yaml").unlink()
    assert pulumi.own_pulumi() == (None, "the one on PATH lacks pulumi-language-yaml")


def test_hosts_for_tests_are_built_where_the_users_pulumi_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those for Go and Node.js; each that lies beside the user's Pulumi is left to it."""
    built: list[str] = []
    monkeypatch.setattr(go, "build", lambda _log, _module, program, *_arguments: built.append(program.name))
    monkeypatch.setattr(Part, "prepare", lambda _part: None)
    for name in ("pulumi", *pulumi.LANGUAGE_HOSTS, "pulumi-language-go"):
        (tmp_path / name).write_text("#!/bin/sh\necho v3.260.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    pulumi.LANGUAGE_HOSTS_FOR_TESTS.make()
    assert built == ["pulumi-language-nodejs"]
    (tmp_path / "pulumi").unlink()
    pulumi.LANGUAGE_HOSTS_FOR_TESTS.make()
    assert built[1:] == ["pulumi-language-go", "pulumi-language-nodejs"]


def test_an_old_node_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Node.js older than what the Pulumi SDK needs, or one without npm, isn't used; the reason is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert node.own_node() == (None, "there is none on PATH")
    program = tmp_path / "node"
    for version, answer in (
        ("v20.20.2", (None, "the one on PATH is 20.20.2, older than 22.0")),
        ("v24.1.0", (None, "the one on PATH comes without npm")),
    ):
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
        assert node.own_node() == answer
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    assert node.own_node() == (program, f"Node.js 24.1.0 at {program} is used")


def test_two_runs_at_once_make_a_part_once(tmp_path: Path) -> None:
    """The second run waits for the first and then finds everything made."""
    program = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(places.ROOT)!r})
from devkit import places
from devkit.setup import parts
folder = Path({str(tmp_path)!r})
places.BUILD, places.LOGS, places.STAMPS = folder, folder / "log", folder / "stamps"

def make():
    with (folder / "made").open("a") as made:
        made.write("once ")
    time.sleep(0.5)

thing = parts.Part("thing", (), list, (folder / "made",), make)
sys.exit(parts.main(["thing"], {{"thing": thing}}))
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(timeout=30) for process in running] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "once "


def test_the_api_server_says_the_version_that_it_is() -> None:
    """The version that the linker sets is the one that the module requires."""
    module = (places.TOOLS / "kube-apiserver" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{'.'.join(map(str, kubernetes.VERSION))}\n" in module


def test_no_lock_names_a_registry() -> None:
    """The locks say what is installed, and leave it to each machine from where."""
    for lock in places.LOCKS.glob("*.txt"):
        assert "://" not in lock.read_text(), lock
    assert '"resolved"' not in (places.ROOT / "tests" / "sdk" / "package-lock.json").read_text()


@pytest.mark.parametrize("terminal", [True, False])
def test_how_far_a_build_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> None:
    """On a terminal it is told in one line that changes and then goes; elsewhere in a line now and then."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    for name in ("HEARTBEAT_SECONDS", "TERMINAL_SECONDS"):
        monkeypatch.setattr(running, name, 0.05)
    running.run("test-of-progress", sys.executable, "-c", "import time; time.sleep(0.5)", hint="-")
    told = capsys.readouterr().out
    assert "still at it after 0 s, 0 lines of log" in told
    assert told.count("\n") == (0 if terminal else told.count("still at it"))
    assert told.endswith("\r\x1b[K") == terminal
