"""The vSphere simulator, as tests start it and steer it."""

from devkit.simulator import Simulator, running, start

__all__ = ["Simulator", "running", "start"]
