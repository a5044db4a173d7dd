"""The provider's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmsnapshot.model._base import Model, Property


class Configuration(Model):
    """Where the VMs are, and how to log in."""

    backend: Annotated[
        Literal["vsphere"] | None,
        Property("The platform. Default: the one whose settings are given."),
    ] = None
    vsphere_server: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The vCenter Server or ESXi host: a name or address, with `:port` when it is not 443.",
            env=("VSPHERE_SERVER",),
        ),
    ] = None
    user: Annotated[
        str | None,
        Field(min_length=1),
        Property("The user to log in as.", env=("VSPHERE_USER",)),
    ] = None
    password: Annotated[
        str | None,
        Property("The user's password.", secret=True, env=("VSPHERE_PASSWORD",)),
    ] = None
    allow_unverified_ssl: Annotated[
        bool,
        Property(
            "Whether to accept a certificate that can't be verified. Default: false.",
            env=("VSPHERE_ALLOW_UNVERIFIED_SSL",),
        ),
    ] = False
    ca_file: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "A file with the certificates (PEM) of the authorities to trust. Default: those of the system."
        ),
    ] = None
    thumbprint: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The SHA-256 (or SHA-1) thumbprint of the server's certificate, in hexadecimal. When "
            "set, exactly that certificate is accepted and no authority is asked."
        ),
    ] = None
