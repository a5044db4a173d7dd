"""What all dynamic resources of one process share: the lifecycle, and the way to the engine."""

from __future__ import annotations

import _thread
import atexit
import datetime as dt
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from vmsnapshot.composition import connect
from vmsnapshot.frontends.engine import _limits, debug_log
from vmsnapshot.frontends.engine._link import EngineWatch, Logger
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.frontends.engine._secrets import Secrets
from vmsnapshot.lifecycle.common.notes import NoNotes
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.lifecycle.requests import Severity
from vmsnapshot.model._base import fields
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.kinds import PACKAGE
from vmsnapshot.model.task import AskedTask

_ADDRESS = re.compile(r"[^/:\s]+:\d+")
_FLAGS: Mapping[Any, bool] = {"true": True, "false": False}


class Process:
    """The lifecycle over one configuration, for as long as the process of the dynamic providers runs.

    Args:
        settings: What the stack's configuration says of the provider.

    Attributes:
        lifecycle: Configured, unless there are failures.
        logger: Shows texts to the user.
        secrets: What no message may show.
        failures: What is wrong with the settings.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.secrets = Secrets()
        logger = Logger(self.secrets)
        self.logger = _Once(logger)
        self.lifecycle = Provider(connect, self.logger, _FewNotes())
        checked = self.lifecycle.check_configuration(dict(settings))
        self.secrets.learn_settings(checked.inputs)
        self.failures = tuple(f"{PACKAGE}:{item.property}: {item.reason}" for item in checked.failures)
        if not self.failures:
            complete = self.lifecycle.configure(checked.inputs)
            self.secrets.learn_settings(complete)
            debug_log.start(complete, self.secrets)
        address = _engine_address()
        if address is not None:
            logger.connect(address)
            EngineWatch(self._end).connect(address)
        atexit.register(self.lifecycle.close)

    def _end(self) -> None:
        """The engine is gone: stop what is under way, and end Pulumi's process, which would wait for ever."""
        self.lifecycle.cancel()
        if not _ending.acquire(blocking=False):
            return
        time.sleep(_limits.GRACE)
        # As Ctrl-C ends it: what still works for others' resources ends first, and then we log out.
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)
        else:  # Windows
            _thread.interrupt_main()


_lock = threading.Lock()
# Taken once, by who ends the process.
_ending = threading.Lock()
_processes: dict[tuple[tuple[str, Any], ...], Process] = {}


def process_of(settings: Mapping[str, Any]) -> Process:
    """The same for the same settings: one session serves all resources."""
    key = tuple(sorted(settings.items()))
    with _lock:
        if key not in _processes:
            _processes[key] = Process(settings)
        return _processes[key]


def settings_of(get: Any) -> dict[str, Any]:
    """The provider's settings out of a stack's configuration, in which every value is a string.

    Args:
        get: Gives a value by its key, such as `vmsnapshot:user`; None where there is none.
    """
    found = {name: (info, get(f"{PACKAGE}:{name}")) for name, info, _ in fields(Configuration)}
    return {
        name: _FLAGS.get(value, value) if info.annotation is bool else value
        for name, (info, value) in found.items()
        if value is not None
    }


def _engine_address() -> str | None:
    """Where the engine is. Every plugin is told by its arguments, also the one of `pulumi.dynamic`."""
    return next((item for item in reversed(sys.argv[1:]) if _ADDRESS.fullmatch(item)), None)


class _Once:
    """Says nothing twice: previews and updates aren't told apart here, so both announce."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._said: set[tuple[str, str]] = set()

    def log(self, urn: str, severity: Severity, text: str) -> None:
        if (urn, text) not in self._said:
            self._said.add((urn, text))
            self._logger.log(urn, severity, text)

    def log_status(self, urn: str, text: str) -> None:
        self._logger.log_status(urn, text)


class _FewNotes(NoNotes):
    """Remembers what was deleted and begun, and nothing of previews: it isn't known which run is one."""

    def __init__(self) -> None:
        self._files = FileNotes(os.getppid())

    def forget(self, urn: str, vms: Sequence[str], until: dt.datetime) -> None:
        self._files.forget(urn, vms, until)

    def forgotten(self, urn: str, vm: str) -> dt.datetime | None:
        return self._files.forgotten(urn, vm)

    def begin(self, request_id: str, moment: dt.datetime) -> None:
        self._files.begin(request_id, moment)

    def end(self, request_id: str) -> None:
        self._files.end(request_id)

    def ask(self, request_id: str, asked: AskedTask) -> None:
        self._files.ask(request_id, asked)

    def asked(self, request_id: str) -> AskedTask | None:
        return self._files.asked(request_id)

    def fail(self, request_id: str) -> None:
        self._files.fail(request_id)

    def begun(self, request_id: str) -> dt.datetime | None:
        return self._files.begun(request_id)
