"""The Kubernetes VM Operator, over its REST API.

`VmOperatorBackend.of(configuration)` is the whole of what others need: the port
(`vmsnapshot.lifecycle.port.Backend`) over one login.  Nothing is called before the first request.

Every read is answered from two watches per namespace (`_watching`), every write goes to the API server
once and is either idempotent or guarded by a test on what was there before.
"""

from vmsnapshot.backends.vmoperator._backend import VmOperatorBackend

__all__ = ["VmOperatorBackend"]
