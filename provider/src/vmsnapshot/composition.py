"""Puts backends, lifecycle and frontends together."""

from __future__ import annotations

from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.lifecycle.port import Backend
from vmsnapshot.model._base import Property, fields
from vmsnapshot.model.configuration import Configuration, variable_of

__all__ = ["connect"]

_OR = (
    " For the Kubernetes VM Operator instead, set vmsnapshot:kubeconfig (or KUBECONFIG), or "
    "vmsnapshot:backend to vmoperator."
)
_VSPHERE = {
    "vsphereServer": ("vsphere_server", "VSPHERE_SERVER", "the vCenter Server or ESXi host"),
    "user": ("user", "VSPHERE_USER", "the user to log in as"),
    "password": ("password", "VSPHERE_PASSWORD", "the user's password (a secret)"),
}


def _config_set(name: str, about: Property) -> str:
    """The command that sets a setting; of a secret, it asks for the value and encrypts it."""
    return f"pulumi config set {'--secret ' if about.secret else ''}vmsnapshot:{name}"


def connect(configuration: Configuration) -> Backend:
    """The backend that a configuration asks for; it logs in at its first call.

    Raises:
        InvalidInput: A setting is missing or wrong.
    """
    given = configuration.properties()
    for name, _, about in fields(Configuration):
        if (variable := variable_of(given.get(name), about)) is not None:
            raise InvalidInput(
                name,
                f"{variable} is not set in the environment, from where the stack takes {name}: set it, or "
                f"give {name} with `{_config_set(name, about)}`",
            )
    # Each is imported only now: pyVmomi and httpx2 take a while, and a plugin that is only asked for
    # its schema should start at once.
    if configuration.backend == "vmoperator":
        from vmsnapshot.backends.vmoperator import VmOperatorBackend  # noqa: PLC0415

        return VmOperatorBackend.of(configuration)
    known = {name: about for name, _, about in fields(Configuration)}
    for name, (field, environment, what) in _VSPHERE.items():
        if name != "vsphereServer" and configuration.sso_token is not None:
            continue
        if getattr(configuration, field) is None:
            raise InvalidInput(
                name,
                f"{name} is not set: give {what} with `{_config_set(name, known[name])}` or in "
                f"the environment variable {environment}.{_OR if name == 'vsphereServer' else ''}",
            )
    from vmsnapshot.backends.vsphere import VsphereBackend  # noqa: PLC0415

    return VsphereBackend.of(configuration)
