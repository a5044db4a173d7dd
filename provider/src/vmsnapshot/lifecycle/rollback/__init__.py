"""EnvironmentRollback: many VMs brought back to a checkpoint."""
