"""Calls, time and memory beside a bare pyVmomi script."""
