"""A stand-in for the VM Operator's controllers: real API server, real (simulated) vSphere.

It is not the VM Operator. README.md here says what it plays and what it doesn't.
"""

from devkit.vmoperator.controller import StandIn
from devkit.vmoperator.steering import Event, History, Steering
from devkit.vmoperator.supervisor import snapshots_switched_off

__all__ = ["Event", "History", "StandIn", "Steering", "snapshots_switched_off"]
