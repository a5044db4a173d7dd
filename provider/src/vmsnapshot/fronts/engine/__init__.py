"""What both fronts know of the engine: how to speak to it, whether it is there, what to say of errors."""

from vmsnapshot.fronts.engine._link import EngineWatch, Voice
from vmsnapshot.fronts.engine._notes import FileNotes
from vmsnapshot.fronts.engine._secrets import Secrets
from vmsnapshot.fronts.engine._words import bug, sentence

__all__ = ["EngineWatch", "FileNotes", "Secrets", "Voice", "bug", "sentence"]
