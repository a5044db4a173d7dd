"""Calls, time and memory beside a bare pyVmomi script: `python -m tests.bench [case ...]`."""
