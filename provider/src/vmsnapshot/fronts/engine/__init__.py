"""What both fronts know of the engine: how to speak to it, whether it is there, what to say of errors."""

from vmsnapshot.fronts.plugin._engine import EngineWatch, Voice
from vmsnapshot.fronts.plugin._notes import FileNotes
from vmsnapshot.fronts.plugin._secrets import Secrets
from vmsnapshot.fronts.plugin._status import bug, sentence

__all__ = ["EngineWatch", "FileNotes", "Secrets", "Voice", "bug", "sentence"]
