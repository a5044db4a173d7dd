"""Notes pass from one process of the plugin to the next, and to nobody else."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.model._base import replace
from vmsnapshot.model.revert import Fingerprint, ShownRevert

LIKE = Fingerprint(power_state="PoweredOn", current_snapshot="snapshot-1", fingerprint="0123456789ab")
SEEN = ShownRevert(seen=LIKE, vm="a/b", target="t")
AT = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def test_what_a_preview_showed_reaches_the_update_of_the_same_engine(tmp_path: Path) -> None:
    """Another process under the same engine knows it; under another engine nothing is known."""
    FileNotes(os.getpid(), tmp_path / "notes").show("urn:a", SEEN)
    FileNotes(os.getpid(), tmp_path / "notes").show("urn:b", SEEN)
    assert FileNotes(os.getpid(), tmp_path / "notes").shown("urn:a") == SEEN
    assert FileNotes(os.getpid(), tmp_path / "notes").shown("urn:c") is None
    assert FileNotes(1, tmp_path / "notes").shown("urn:a") is None


def test_the_newest_note_counts_and_half_a_line_is_none(tmp_path: Path) -> None:
    """A VM shown again is known as shown last; what a killed process wrote half of hides nothing else."""
    notes = FileNotes(1, tmp_path)
    notes.show("urn:a", replace(SEEN, seen=replace(LIKE, power_state="Suspended")))
    assert notes.shown("urn:a") != SEEN
    notes.show("urn:a", SEEN)
    (shown,) = tmp_path.iterdir()
    with shown.open("a", encoding="utf-8") as file:
        file.write('\n["urn:b", {"powerState": "Powe')
    notes.show_all({"urn:c": SEEN, "urn:d": SEEN})
    names = ["urn:a", "urn:b", "urn:c", "urn:d"]
    assert FileNotes(1, tmp_path).shown_all(names) == dict.fromkeys(["urn:a", "urn:c", "urn:d"], SEEN)


def test_what_was_deleted_is_known_to_every_engine(tmp_path: Path) -> None:
    """A revert's deletion is kept for later commands, VM by VM."""
    FileNotes(1, tmp_path / "notes").forget("urn:a", ["vm-1", "vm-2"], AT)
    later = FileNotes(2, tmp_path / "notes")
    assert [later.forgotten("urn:a", vm) for vm in ("vm-1", "vm-2", "vm-3")] == [AT, AT, None]
    assert later.forgotten("urn:b", "vm-1") is None


def test_a_deletion_that_an_earlier_build_noted_is_known(tmp_path: Path) -> None:
    """It names no VM, and so is one for each that the resource has."""
    notes = FileNotes(1, tmp_path)
    name = hashlib.sha256(b"urn:a").hexdigest()[:16]
    (tmp_path / f"forgotten-{name}.json").write_text(json.dumps({"at": AT.isoformat()}), encoding="utf-8")
    assert notes.forgotten("urn:a", "vm-1") == AT
    notes.forget("urn:a", ["vm-1"], AT + dt.timedelta(hours=1))
    assert notes.forgotten("urn:a", "vm-1") == AT + dt.timedelta(hours=1)
    assert notes.forgotten("urn:b", "vm-1") is None


def test_what_was_begun_is_known_until_it_has_ended(tmp_path: Path) -> None:
    """A request that a killed process was making is known to the next; one whose end is known is none."""
    FileNotes(1, tmp_path / "notes").begin("request-a", AT)
    assert FileNotes(2, tmp_path / "notes").begun("request-a") == AT
    assert FileNotes(2, tmp_path / "notes").begun("request-b") is None
    FileNotes(2, tmp_path / "notes").end("request-a")
    FileNotes(2, tmp_path / "notes").end("request-a")
    assert FileNotes(1, tmp_path / "notes").begun("request-a") is None


def test_the_folder_is_the_users_own(tmp_path: Path) -> None:
    """Nobody else can read or write it."""
    FileNotes(1, tmp_path / "notes").forget("urn:a", ["vm-1"], AT)
    assert stat.S_IMODE((tmp_path / "notes").stat().st_mode) == 0o700


def test_broken_notes_and_folders_fail_nothing(tmp_path: Path) -> None:
    """A note that can't be read, or kept, counts as none."""
    notes = FileNotes(1, tmp_path / "notes")
    notes.forget("urn:a", ["vm-1"], AT)
    for path in (tmp_path / "notes").iterdir():
        path.write_text("[]", encoding="utf-8")
    assert notes.forgotten("urn:a", "vm-1") is None
    blocked = FileNotes(1, tmp_path / "file")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    blocked.show("urn:a", SEEN)
    assert blocked.shown("urn:a") is None


def test_a_folder_or_a_file_behind_a_link_is_not_used(tmp_path: Path) -> None:
    """Somebody who may write beside it could lead the notes elsewhere."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "notes").symlink_to(tmp_path / "elsewhere")
    linked = FileNotes(1, tmp_path / "notes")
    linked.show("urn:a", SEEN)
    linked.forget("urn:a", ["vm-1"], AT)
    assert (linked.shown("urn:a"), linked.forgotten("urn:a", "vm-1")) == (None, None)
    assert list((tmp_path / "elsewhere").iterdir()) == []

    notes = FileNotes(1, tmp_path / "own")
    notes.show("urn:a", SEEN)
    (file,) = (tmp_path / "own").iterdir()
    file.rename(tmp_path / "other.jsonl")
    file.symlink_to(tmp_path / "other.jsonl")
    before = (tmp_path / "other.jsonl").read_text(encoding="utf-8")
    FileNotes(1, tmp_path / "own").show("urn:b", SEEN)
    assert FileNotes(1, tmp_path / "own").shown("urn:a") is None
    assert (tmp_path / "other.jsonl").read_text(encoding="utf-8") == before


def test_somebody_elses_folder_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another user wrote there is not believed, and nothing is added."""
    FileNotes(1, tmp_path / "notes").show("urn:a", SEEN)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    strange = FileNotes(1, tmp_path / "notes")
    strange.show("urn:b", SEEN)
    assert strange.shown_all(["urn:a", "urn:b"]) == {}


def test_a_system_without_user_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has neither getuid nor O_NOFOLLOW: the notes work all the same."""
    monkeypatch.delattr(os, "getuid")
    monkeypatch.delattr(os, "O_NOFOLLOW")
    notes = FileNotes(1, tmp_path / "notes")
    notes.show("urn:a", SEEN)
    notes.forget("urn:a", ["vm-1"], AT)
    assert (notes.shown("urn:a"), notes.forgotten("urn:a", "vm-1")) == (SEEN, AT)


def test_the_users_state_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the platform's convention, and not where everybody may write."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    FileNotes(1).forget("urn:a", ["vm-1"], AT)
    assert list(tmp_path.rglob("forgotten-*.json"))
