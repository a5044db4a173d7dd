"""Notes in small files of the user's own, from one process of the plugin to the next.

`pulumi up` previews with one process of the plugin and updates with another; both have the engine
as their parent.  In between, a person reads and agrees: what was shown is kept under that engine's
process number.  What was deleted is kept under the resource.  None of it is secret: ids of
snapshots, a power state, hashes, times.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vmsnapshot.model.revert import Fingerprint

# Nobody leaves a prompt open for longer; what is left behind is removed after this time.
_SECONDS_KEPT: Final = 24 * 3600.0


class FileNotes:
    """The notes of the processes that one engine starts, and of those before it.

    Not being able to keep or to read a note fails nothing.

    Args:
        engine: The engine's process id.
        folder: Where to keep them. Default: a folder of the user's own under the temporary one.
    """

    def __init__(self, engine: int, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"vmsnapshot-{_user()}"
        # A line for each VM that was shown; the last of a name counts.
        self._shown = self._folder / f"shown-{engine}-{_started(engine)}.jsonl"
        self._lock = threading.Lock()
        self._read_shown: tuple[object, dict[str, Any]] = (None, {})
        self._tidied = False

    def show(self, urn: str, seen: Fingerprint) -> None:
        """A preview has shown the VM of this resource so."""
        self.show_all({urn: seen})

    def shown(self, urn: str) -> Fingerprint | None:
        """How the preview of the same command showed it; None: nothing is known of that."""
        return self.shown_all([urn]).get(urn)

    def show_all(self, seen: Mapping[str, Fingerprint]) -> None:
        """The same for many at once, by resource and VM."""
        # A new line before each: a process that was killed may have left half of one.
        lines = [f"\n{json.dumps([name, item.properties()])}" for name, item in seen.items()]
        with self._lock, contextlib.suppress(OSError):
            self._prepare()
            with self._shown.open("a", encoding="utf-8") as file:
                file.write("".join(lines))

    def shown_all(self, names: Sequence[str]) -> dict[str, Fingerprint]:
        """How the preview of the same command showed those of many that it did."""
        with self._lock, contextlib.suppress(ValidationError):
            notes = self._shown_notes()
            return {name: Fingerprint.model_validate(notes[name]) for name in names if name in notes}
        return {}

    def forget(self, urn: str, moment: dt.datetime) -> None:
        """This revert was deleted from its stack."""
        with self._lock, contextlib.suppress(OSError):
            self._prepare()
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as new:
                json.dump({"at": moment.isoformat()}, new)
            Path(new.name).replace(self._forgotten(urn))

    def forgotten(self, urn: str) -> dt.datetime | None:
        """When this revert was last deleted; None: not known to have been."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            return dt.datetime.fromisoformat(json.loads(self._text(self._forgotten(urn))).get("at", ""))
        return None

    def _forgotten(self, urn: str) -> Path:
        return self._folder / f"forgotten-{hashlib.sha256(urn.encode()).hexdigest()[:16]}.json"

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
        if self._folder.stat().st_uid != _user():  # somebody else's folder says nothing to us
            raise PermissionError(path)
        return path.read_text(encoding="utf-8")

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not self._tidied:
            self._tidied = True
            self._remove_old()

    def _remove_old(self) -> None:
        oldest = time.time() - _SECONDS_KEPT
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    """The notes of a file; one that isn't whole is none."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            name, note = json.loads(line)
            yield name, note


def _user() -> int:
    return os.getuid()


def _started(process: int) -> str:
    """When a process started, where the system tells: its number may be given to another later."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        return status.rpartition(")")[2].split()[19]
    return "0"
