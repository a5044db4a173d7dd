"""Notes in small files of the user's own, from one process of the plugin to the next.

`pulumi up` previews with one process of the plugin and updates with another; both have the engine
as their parent.  In between, a person reads and agrees: what was shown is kept under that engine's
process number.  What was deleted is kept under the resource and its VM, and what was asked for under
the request.  None of it is secret: ids of snapshots and tasks, a power state, hashes, times.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import json
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from pydantic import ValidationError

from vmsnapshot.model.revert import ShownRemovals, ShownRevert
from vmsnapshot.model.task import AskedTask

# Nobody leaves a prompt open for longer; what is left behind is removed after this time.
_SECONDS_KEPT: Final = 24 * 3600.0


class FileNotes:
    """The notes of the processes that one engine starts, and of those before it.

    Not being able to keep or to read a note fails nothing.

    Args:
        engine: The engine's process id.
        folder: Where to keep them. Default: the user's state folder by the platform's convention, such as
            `~/.local/state/vmsnapshot`.
    """

    def __init__(self, engine: int, folder: Path | None = None) -> None:
        self._given = folder
        # A line for each VM that was shown, and for what a resource removes; the last of a name counts.
        self._shown_name = f"shown-{engine}-{_started(engine)}.jsonl"
        self._lock = threading.Lock()
        self._read_shown: tuple[object, dict[str, Any]] = (None, {})
        self._tidied = False

    @functools.cached_property
    def _folder(self) -> Path:
        import platformdirs  # noqa: PLC0415 - most resources leave no notes

        return self._given or platformdirs.user_state_path("vmsnapshot", appauthor=False)

    @property
    def _shown(self) -> Path:
        return self._folder / self._shown_name

    def show(self, urn: str, seen: ShownRevert) -> None:
        """A preview has shown the VM of this resource so."""
        self.show_all({urn: seen})

    def shown(self, urn: str) -> ShownRevert | None:
        """How the preview of the same command showed it; None: nothing is known of that."""
        return self.shown_all([urn]).get(urn)

    def show_all(self, seen: Mapping[str, ShownRevert]) -> None:
        """The same for many at once, by resource and VM."""
        self._append({name: item.properties() for name, item in seen.items()})

    def _append(self, notes: Mapping[str, object]) -> None:
        # A new line before each: a process that was killed may have left half of one.
        lines = [f"\n{json.dumps([name, item])}" for name, item in notes.items()]
        with self._lock, contextlib.suppress(OSError):
            self._prepare()
            with _open(self._shown, os.O_WRONLY | os.O_APPEND | os.O_CREAT, "a") as file:
                file.write("".join(lines))

    def shown_all(self, names: Sequence[str]) -> dict[str, ShownRevert]:
        """How the preview of the same command showed those of many that it did."""
        with self._lock, contextlib.suppress(ValidationError):
            notes = self._shown_notes()
            return {name: ShownRevert.model_validate(notes[name]) for name in names if name in notes}
        return {}

    def show_removals(self, name: str, shown: ShownRemovals | None) -> None:
        """This resource is shown to remove this; None: what was shown counts no more."""
        self._append({f"{name} removes": None if shown is None else [shown.run, *shown.names]})

    def shown_removals(self, name: str) -> ShownRemovals | None:
        """What it was shown to remove last, in the same command; None: nothing is known of that."""
        with self._lock:
            note = self._shown_notes().get(f"{name} removes")
        return ShownRemovals(note[1:], note[0]) if isinstance(note, list) and note else None

    def forget(self, urn: str, vms: Sequence[str], until: dt.datetime) -> None:
        """This revert of these VMs was deleted from its stack: what it did to them until then is over."""
        for vm in vms:
            self._keep(self._named("forgotten", f"{urn} {vm}"), {"at": until.isoformat()})

    def forgotten(self, urn: str, vm: str) -> dt.datetime | None:
        """Until when what this revert did to the VM is over; None: it is not known to have been deleted."""
        # Earlier builds kept when it was deleted, whatever VM it was about.
        kept = (self._kept(self._named("forgotten", name)) for name in (f"{urn} {vm}", urn))
        return max((moment for note in kept if (moment := _moment(note, "at")) is not None), default=None)

    def begin(self, request_id: str, moment: dt.datetime) -> None:
        """This request is about to be made."""
        self._keep(self._named("begun", request_id), {"at": moment.isoformat()})

    def end(self, request_id: str) -> None:
        """What became of it is known."""
        self._drop(self._named("begun", request_id))

    def begun(self, request_id: str) -> dt.datetime | None:
        """When it was begun; None: it is known what became of it, or nothing is."""
        return _moment(self._kept(self._named("begun", request_id)), "at")

    def ask(self, request_id: str, asked: AskedTask) -> None:
        """The platform has taken this request."""
        ended = {} if asked.completed is None else {"completed": asked.completed.isoformat()}
        announced = {"announced": "yes"} if asked.announced else {}
        note = {"task": asked.task, "at": asked.at.isoformat(), **ended, **announced}
        self._keep(self._named("asked", request_id), note)

    def asked(self, request_id: str) -> AskedTask | None:
        """By which task it does it, or has done it; None: not known."""
        note = self._kept(self._named("asked", request_id))
        task, at = note.get("task"), _moment(note, "at")
        if not isinstance(task, str) or at is None:
            return None
        return AskedTask(task, at, _moment(note, "completed"), announced="announced" in note)

    def fail(self, request_id: str) -> None:
        """It has failed, or was not taken."""
        self._drop(self._named("asked", request_id))

    def _keep(self, path: Path, note: Mapping[str, str]) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._prepare()
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as new:
                json.dump(note, new)
            Path(new.name).replace(path)

    def _kept(self, path: Path) -> Mapping[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            note = json.loads(self._text(path))
            return note if isinstance(note, dict) else {}
        return {}

    def _drop(self, path: Path) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._require_own()
            path.unlink(missing_ok=True)

    def _named(self, kind: str, name: str) -> Path:
        return self._folder / f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    def _shown_notes(self) -> dict[str, Any]:
        """What was shown, by name; read again only if something has been written since."""
        with contextlib.suppress(OSError):
            status = self._shown.stat()
            version = (status.st_size, status.st_mtime_ns)
            if version != self._read_shown[0]:
                self._read_shown = version, dict(_lines(self._text(self._shown)))
            return self._read_shown[1]
        return {}

    def _text(self, path: Path) -> str:
        self._require_own()
        with _open(path, os.O_RDONLY, "r") as file:
            return file.read()

    def _require_own(self) -> None:
        """Use no folder of somebody else's, and none that a link leads to: what it says is not ours.

        Raises:
            PermissionError: It is one.
        """
        status = self._folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or not _is_own(status):
            raise PermissionError(self._folder)

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._require_own()
        if not self._tidied:
            self._tidied = True
            self._remove_old()

    def _remove_old(self) -> None:
        oldest = time.time() - _SECONDS_KEPT
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()


def _moment(note: Mapping[str, Any], name: str) -> dt.datetime | None:
    """A time that a note holds; one that can't be read is none."""
    with contextlib.suppress(ValueError, TypeError):
        return dt.datetime.fromisoformat(note.get(name) or "")
    return None


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    """The notes of a file; one that isn't whole is none."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            name, note = json.loads(line)
            yield name, note


def _open(path: Path, flags: int, mode: str) -> IO[str]:
    """Open a file of the user's own; a link, or somebody else's file, is an OSError."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)  # Windows has no such flag
    file = os.fdopen(descriptor, mode, encoding="utf-8")
    if not _is_own(os.fstat(descriptor)):
        file.close()
        raise PermissionError(path)
    return file


def _is_own(status: os.stat_result) -> bool:
    """Whether the user owns it; where the system has no user numbers (Windows), the folder is the user's."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def _started(process: int) -> str:
    """When a process started, where the system tells: its number may be given to another later."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        return status.rpartition(")")[2].split()[19]
    return "0"
