"""The set-up program: what it takes for made, and what it makes anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import setup


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
    assert setup.version_in(printed) == version


def test_a_program_that_prints_no_version_is_too_old() -> None:
    """An unusable Go or Pulumi on PATH is passed over."""
    assert setup.version_in("broken") < setup.GO_MINIMUM


def _part(folder: Path, made: list[str], extra: tuple[str, ...] = ()) -> setup.Part:
    def make() -> None:
        made.append("once")
        (folder / "result").touch()

    return setup.Part("thing", (), lambda: [folder / "source", *extra], (folder / "result",), make)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project in a folder of its own with one part; lists each time that part was made."""
    monkeypatch.setattr(setup, "BUILD", tmp_path / "build")
    monkeypatch.setattr(setup, "LOGS", tmp_path / "build" / "log")
    monkeypatch.setattr(setup, "STAMPS", tmp_path / "build" / "stamps")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "go.mod").write_text("module thing")
    made: list[str] = []
    monkeypatch.setattr(setup, "PARTS", {"thing": _part(tmp_path, made)})
    return made


def test_a_part_is_made_once(made: list[str]) -> None:
    """The second run finds what the first one made."""
    assert setup.main(["thing"]) == 0
    assert setup.main(["thing"]) == 0
    assert made == ["once"]


def test_a_changed_source_makes_it_anew(made: list[str], tmp_path: Path) -> None:
    """A stamp holds only as long as what went in stays the same."""
    setup.main(["thing"])
    (tmp_path / "source" / "go.mod").write_text("module thing\n")
    setup.main(["thing"])
    assert len(made) == 2


def test_a_moved_file_makes_it_anew(made: list[str], tmp_path: Path) -> None:
    """Names count, not only contents."""
    setup.main(["thing"])
    (tmp_path / "source" / "go.mod").rename(tmp_path / "source" / "go.sum")
    setup.main(["thing"])
    assert len(made) == 2


def test_a_removed_result_makes_it_anew(made: list[str], tmp_path: Path) -> None:
    """A stamp alone is not enough."""
    setup.main(["thing"])
    (tmp_path / "result").unlink()
    setup.main(["thing"])
    assert len(made) == 2


def test_hidden_files_do_not_count(made: list[str], tmp_path: Path) -> None:
    """An editor's swap file is no change of the sources."""
    setup.main(["thing"])
    (tmp_path / "source" / ".go.mod.swp").touch()
    setup.main(["thing"])
    assert made == ["once"]


@pytest.mark.usefixtures("made")
def test_an_edit_during_the_build_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamp says what went in at the start, so the next run builds again."""

    def make() -> None:
        (tmp_path / "source" / "go.mod").write_text("edited meanwhile")
        (tmp_path / "result").touch()

    part = setup.Part("thing", (), lambda: [tmp_path / "source"], (tmp_path / "result",), make)
    monkeypatch.setattr(setup, "PARTS", {"thing": part})
    setup.main(["thing"])
    assert not part.ready()


@pytest.mark.usefixtures("made")
def test_a_failing_step_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The person sees the command's own words and what to do, and the part counts as not made."""
    monkeypatch.setattr(setup, "ROOT", tmp_path)

    def make() -> None:
        setup.run("thing", sys.executable, "-c", "print('boom'); raise SystemExit(3)", hint="try again.")

    part = setup.Part("thing", (), list, (), make)
    monkeypatch.setattr(setup, "PARTS", {"thing": part})

    assert setup.main(["thing"]) == 1
    said = capfd.readouterr().err
    assert "exit code 3" in said
    assert "    boom" in said
    assert "What to do: try again." in said
    assert not part.ready()


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error in the Makefile doesn't pass silently."""
    assert setup.main(["simulatr"]) == 2
    assert "simulator" in capsys.readouterr().err


def test_what_the_project_built_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own .build/bin on PATH never makes a pulumi look like the user's."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "pulumi").write_text("#!/bin/sh\n")
        (folder / "pulumi").chmod(0o755)
    monkeypatch.setattr(setup, "BIN", ours)
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{theirs}")
    assert setup.find_program("pulumi") == theirs / "pulumi"
    monkeypatch.setenv("PATH", str(ours))
    assert setup.find_program("pulumi") is None


def test_an_old_pulumi_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pulumi older than what the provider needs isn't used, and the reason is said."""
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\necho v3.100.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.own_pulumi() == (None, "the one on PATH is 3.100.0, older than 3.250.0")


def test_a_recent_pulumi_is_used_with_its_own_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pulumi without a language host beside it won't do; with both it is used."""
    for name in ("pulumi", *setup.LANGUAGE_HOSTS):
        (tmp_path / name).write_text("#!/bin/sh\necho v3.260.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.own_pulumi()[0] == tmp_path / "pulumi"
    (tmp_path / "pulumi-language-yaml").unlink()
    assert setup.own_pulumi() == (None, "the one on PATH lacks pulumi-language-yaml")


def test_two_runs_at_once_make_a_part_once(tmp_path: Path) -> None:
    """The second run waits for the first and then finds everything made."""
    program = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(setup.ROOT)!r})
from tools import setup
folder = Path({str(tmp_path)!r})
setup.BUILD, setup.LOGS, setup.STAMPS = folder, folder / "log", folder / "stamps"

def make():
    with (folder / "made").open("a") as made:
        made.write("once ")
    time.sleep(0.5)

setup.PARTS = {{"thing": setup.Part("thing", (), list, (folder / "made",), make)}}
sys.exit(setup.main(["thing"]))
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(timeout=30) for process in running] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "once "


def test_the_api_server_says_the_version_that_it_is() -> None:
    """The version that the linker sets is the one that the module requires."""
    module = (setup.TOOLS / "kube-apiserver" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{'.'.join(map(str, setup.KUBERNETES))}\n" in module


def test_no_lock_names_a_registry() -> None:
    """The locks say what is installed, and leave it to each machine from where."""
    for lock in setup.LOCKS.glob("*.txt"):
        assert "://" not in lock.read_text(), lock
