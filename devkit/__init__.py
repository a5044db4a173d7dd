"""What tests and tools share: setting the project up, and starting what a provider is run against.

setup         makes the parts of the development environment under .build
simulator     the vSphere simulator
kubernetes    an API server with the VM Operator's CRDs
vmoperator    a stand-in for the VM Operator's controllers
processes, waiting, places   small helpers

Nothing here imports tests or tools.
"""
