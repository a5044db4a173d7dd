"""What both frontends know of the engine: how to speak to it, whether it is there, what to say of errors."""

from vmsnapshot.frontends.engine._link import EngineWatch, Logger
from vmsnapshot.frontends.engine._messages import internal_error
from vmsnapshot.frontends.engine._notes import FileNotes
from vmsnapshot.frontends.engine._secrets import Secrets

__all__ = ["EngineWatch", "FileNotes", "Logger", "Secrets", "internal_error"]
