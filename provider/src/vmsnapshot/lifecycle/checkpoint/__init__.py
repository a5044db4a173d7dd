"""EnvironmentCheckpoint: restore points of many VMs."""
