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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vmsnapshot.model.revert import Seen

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
        self._shown = self._folder / f"shown-{engine}-{_started(engine)}.json"
        self._lock = threading.Lock()

    def show(self, urn: str, seen: Seen) -> None:
        """A preview has shown the VM of this resource so."""
        self.show_all({urn: seen})

    def shown(self, urn: str) -> Seen | None:
        """How the preview of the same command showed it; None: nothing is known of that."""
        return self.shown_all([urn]).get(urn)

    def show_all(self, seen: Mapping[str, Seen]) -> None:
        """The same for many at once, by resource and VM."""
        notes = {name: item.properties() for name, item in seen.items()}
        with self._lock:
            self._write(self._shown, {**self._read(self._shown), **notes})

    def shown_all(self, names: Sequence[str]) -> dict[str, Seen]:
        """How the preview of the same command showed those of many that it did."""
        with self._lock, contextlib.suppress(ValidationError):
            notes = self._read(self._shown)
            return {name: Seen.model_validate(notes[name]) for name in names if name in notes}
        return {}

    def forget(self, urn: str, moment: dt.datetime) -> None:
        """This revert was deleted from its stack."""
        with self._lock:
            self._write(self._forgotten(urn), {"at": moment.isoformat()})

    def forgotten(self, urn: str) -> dt.datetime | None:
        """When this revert was last deleted; None: not known to have been."""
        with self._lock, contextlib.suppress(ValueError, TypeError):
            return dt.datetime.fromisoformat(self._read(self._forgotten(urn)).get("at", ""))
        return None

    def _forgotten(self, urn: str) -> Path:
        return self._folder / f"forgotten-{hashlib.sha256(urn.encode()).hexdigest()[:16]}.json"

    def _read(self, path: Path) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            if self._folder.stat().st_uid == _user():  # somebody else's folder says nothing to us
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return found
        return {}

    def _write(self, path: Path, note: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._remove_old()
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as new:
                json.dump(note, new)
            Path(new.name).replace(path)

    def _remove_old(self) -> None:
        oldest = time.time() - _SECONDS_KEPT
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _user() -> int:
    return os.getuid()


def _started(process: int) -> str:
    """When a process started, where the system tells: its number may be given to another later."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        return status.rpartition(")")[2].split()[19]
    return "0"
