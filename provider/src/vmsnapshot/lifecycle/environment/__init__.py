"""Environments: many VMs that are checkpointed and rolled back by one resource."""
