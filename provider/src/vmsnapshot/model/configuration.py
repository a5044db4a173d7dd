"""The provider's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from vmsnapshot.model._base import Model, Property
from vmsnapshot.model.values import plain


class Configuration(Model):
    """Where the VMs are, and how to log in."""

    backend: Annotated[
        Literal["vsphere", "vmoperator"] | None,
        Property(
            "The platform: `vsphere` (vCenter or ESXi) or `vmoperator` (the Kubernetes VM Operator). "
            "Default: the one whose settings are given; those of the configuration take precedence "
            "over those of the environment.",
            env=("VMSNAPSHOT_BACKEND",),
        ),
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
        Property(
            "The user to log in as. Default: VSPHERE_USER, as each command finds it in its environment.",
            env=("VSPHERE_USER",),
            login=True,
        ),
    ] = None
    password: Annotated[
        str | None,
        Property(
            "The user's password. Default: VSPHERE_PASSWORD, as each command finds it in its environment.",
            secret=True,
            env=("VSPHERE_PASSWORD",),
            login=True,
        ),
    ] = None
    sso_token: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "A SAML bearer token of vCenter Single Sign-On, to log in with instead of user and password. "
            "Default: VMSNAPSHOT_SSO_TOKEN, as each command finds it in its environment.",
            secret=True,
            env=("VMSNAPSHOT_SSO_TOKEN",),
            login=True,
        ),
    ] = None
    persist_session: Annotated[
        bool,
        Property(
            "Whether the session on vSphere is kept for the next command, in the file in which govc and the "
            "Terraform provider keep theirs. Whoever can read it is logged in as this user until the session "
            "ends. Default: false; each command logs in and out.",
            env=("VSPHERE_PERSIST_SESSION",),
        ),
    ] = False
    vim_session_path: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The folder of the files that `persistSession` writes. Default: `sessions` in GOVMOMI_HOME, or "
            "else `~/.govmomi/sessions`.",
            env=("VSPHERE_VIM_SESSION_PATH",),
        ),
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
            "A file with the certificates (PEM) of the authorities to trust. Default: those of the system.",
            env=("VMSNAPSHOT_CA_FILE",),
        ),
    ] = None
    thumbprint: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The SHA-256 (or SHA-1) thumbprint of the server's certificate, in hexadecimal. When "
            "set, exactly that certificate is accepted and no authority is asked.",
            env=("VMSNAPSHOT_THUMBPRINT",),
        ),
    ] = None
    moved_from_server: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "The instanceUuid of the server that the stack's VMs were moved from. The stack's state may "
            "then be about VMs of that server: each is looked for on the present one, by its instance UUID. "
            "VM Operator: the UID by which the error message names the former cluster; what isn't found in "
            "the present one then counts as gone. Default: none; state about another server is refused.",
            env=("VMSNAPSHOT_MOVED_FROM_SERVER",),
        ),
    ] = None
    ignore_task_history: Annotated[
        bool,
        Property(
            "Whether a task history of vSphere that can't be read counts as empty. It shows whether an "
            "interrupted revert was done already: with true, it may be done twice. Default: false; a revert "
            "is then refused.",
            env=("VMSNAPSHOT_IGNORE_TASK_HISTORY",),
        ),
    ] = False
    debug_log: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "A file to which a line is appended for each call to the server: when, what, how long, how it "
            "ended, and the size of the answer. Nothing that is sent or answered is in it. Default: none.",
            env=("VMSNAPSHOT_DEBUG_LOG",),
        ),
    ] = None
    kubeconfig: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "VM Operator: the kubeconfig, as a file's path (or several, as in KUBECONFIG) or as its "
            "content. Default: KUBECONFIG, as each command finds it in its environment; or else, with "
            "`backend: vmoperator`, `~/.kube/config` or the pod's service account.",
            secret=True,
            env=("KUBECONFIG",),
            login=True,
        ),
    ] = None
    context: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "VM Operator: the kubeconfig's context. Default: its current-context.",
            env=("VMSNAPSHOT_CONTEXT",),
        ),
    ] = None
    namespace: Annotated[
        str | None,
        Field(min_length=1),
        Property(
            "VM Operator: the namespace of VMs and snapshots for which none is given. Default: the "
            "context's, else `default`.",
            env=("VMSNAPSHOT_NAMESPACE",),
        ),
    ] = None

    @property
    def address(self) -> str | None:
        """How the settings name the server; None: they leave that to a default."""
        return self.context if self.backend == "vmoperator" else self.vsphere_server


# A longer text is no file's path, but perhaps a kubeconfig in one line or a token.
_LONGEST_PATH: Final = 255


def is_kubeconfig_content(given: str) -> bool:
    """Whether the setting `kubeconfig` holds a kubeconfig itself, and not where there is one."""
    return "\n" in given or given.lstrip().startswith("{")


def _are_paths(text: str) -> bool:
    """Whether a text is certain to be paths: it is short, or each begins as no token and no base64 does."""
    paths = text.split(os.pathsep)
    return len(text) <= _LONGEST_PATH or all(path.startswith(("/", "~", "./", "../")) for path in paths)


def confidential(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings whose secrets no message may show: all but the path of a kubeconfig."""
    kubeconfig = plain(settings.get("kubeconfig"))
    is_path = isinstance(kubeconfig, str) and not is_kubeconfig_content(kubeconfig) and _are_paths(kubeconfig)
    return {name: value for name, value in settings.items() if not (is_path and name == "kubeconfig")}


def variable_of(value: object, about: Property) -> str | None:
    """Returns the environment variable that a setting refers to (`$VSPHERE_PASSWORD`), or None."""
    return next((name for name in about.env if about.login and value == f"${name}"), None)


# The settings of each platform; the first one says where it is.
SETTINGS: Final = {
    "vsphere": (
        "vsphereServer",
        "user",
        "password",
        "ssoToken",
        "persistSession",
        "vimSessionPath",
        "allowUnverifiedSsl",
        "caFile",
        "thumbprint",
        "ignoreTaskHistory",
    ),
    "vmoperator": ("kubeconfig", "context", "namespace"),
}
