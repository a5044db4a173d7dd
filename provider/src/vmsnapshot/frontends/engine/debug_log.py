"""Writes the backends' calls into the file that the setting `debugLog` names."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.values import plain

_LOG: Final = logging.getLogger("vmsnapshot.calls")


class _Concealing(logging.Formatter):
    """A line with its time and this process, without secrets."""

    converter = time.gmtime  # type: ignore[assignment]  # its stub has the argument optional
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(asctime)s %(process)d %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.conceal_all(super().format(record))


class _CallsFile(logging.FileHandler):
    """The file, told from others who listen to calls."""


def start(settings: Mapping[str, Any], secrets: Secrets) -> str | None:
    """Write calls from now on, if the settings name a file; returns that file.

    Raises:
        InvalidInput: It can't be written.
    """
    for handler in list(_LOG.handlers):
        if isinstance(handler, _CallsFile):
            _LOG.removeHandler(handler)
            handler.close()
    name = plain(settings.get("debugLog"))
    if not isinstance(name, str):
        return None
    path = Path(name)
    try:
        path = path.expanduser()
        # Names of VMs and snapshots are in it: for this user alone.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
        handler = _CallsFile(path, encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, a user without a home
        why = error.strerror if isinstance(error, OSError) else error
        reason = f"debugLog: {path} can't be written: {why}. Give a file in a folder that is there."
        raise InvalidInput("debugLog", reason) from None
    handler.setFormatter(_Concealing(secrets))
    listen(handler)
    return str(path)


def listen(handler: logging.Handler) -> None:
    """Give each call to a handler, too: the record's one argument is the call."""
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.DEBUG)
    _LOG.propagate = False


def stop() -> None:
    """Close the file."""
    with contextlib.suppress(InvalidInput):
        start({}, Secrets())
