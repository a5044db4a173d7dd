"""Carries what a preview showed over to the update of the same command.

`pulumi up` previews with one process of the plugin and updates with another; both have the engine
as their parent.  In between, a person reads and agrees.  What was shown is kept in a small file of
the user's own, named after that engine's process.  It holds no secret: a snapshot's id, a power
state, a hash.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vmsnapshot.model.revert import Seen

# Nobody leaves a prompt open for longer; what is left behind is removed after this time.
_SECONDS_KEPT: Final = 24 * 3600.0


class EnginePreviews:
    """What the previews of one engine process have shown.

    Args:
        engine: The engine's process id.
        folder: Where to keep it. Default: a folder of the user's own under the temporary one.
    """

    def __init__(self, engine: int, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"vmsnapshot-{_user()}"
        self._path = self._folder / f"previewed-{engine}-{_started(engine)}.json"
        self._lock = threading.Lock()

    def remember(self, urn: str, seen: Seen) -> None:
        """A preview has shown the VM of this resource so. Not being able to keep it fails nothing."""
        with self._lock, contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._remove_old()
            known = self._read() | {urn: seen.properties()}
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as new:
                json.dump(known, new)
            Path(new.name).replace(self._path)

    def recall(self, urn: str) -> Seen | None:
        """How the preview of this engine showed it; None: nothing is known of that."""
        with self._lock, contextlib.suppress(OSError, ValidationError):
            shown = self._read().get(urn)
            return None if shown is None else Seen.model_validate(shown)
        return None

    def _read(self) -> dict[str, Any]:
        owner = self._folder.stat()
        if owner.st_uid != _user() or not self._path.exists():
            return {}  # somebody else's folder says nothing to us
        found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return found

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
