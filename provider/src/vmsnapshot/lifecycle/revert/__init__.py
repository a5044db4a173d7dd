"""VirtualMachineRevert: the last revert of a VM, and on whose request."""
