"""The vSphere simulator, as tests start it and steer it."""

from devkit.simulator import Marks, Simulator, running, start

__all__ = ["Marks", "Simulator", "running", "start"]
