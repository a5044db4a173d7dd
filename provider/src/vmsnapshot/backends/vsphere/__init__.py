"""vCenter and ESXi, through pyVmomi.

`VsphereBackend.of(configuration)` is the whole of what others need: the port
(`vmsnapshot.lifecycle.port.Backend`) over one login.  Nothing is called before the first request.
"""

from vmsnapshot.backends.vsphere._backend import VsphereBackend

__all__ = ["VsphereBackend"]
