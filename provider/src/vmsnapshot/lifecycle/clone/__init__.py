"""VirtualMachineClone: a new VM that is made from a snapshot of another."""
