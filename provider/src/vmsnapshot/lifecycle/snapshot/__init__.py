"""VirtualMachineSnapshot: one snapshot of one VM."""
