"""The shape of a kubeconfig, as far as it is used here (client-go's `clientcmd/api/v1`).

What else stands in the file is left alone. A value of another kind is an error that names its place and
nothing of the value, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Characters that the name of a host, and each part of it between two dots, may have (RFC 1035).
_LONGEST_HOST: Final = 253
_LONGEST_LABEL: Final = 63
_HIGHEST_PORT: Final = 65535


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class _Cluster(_Part):
    server: str | None = None
    certificate_authority: str | None = Field(None, alias="certificate-authority")
    certificate_authority_data: str | None = Field(None, alias="certificate-authority-data")
    insecure_skip_tls_verify: bool | None = Field(None, alias="insecure-skip-tls-verify")
    tls_server_name: str | None = Field(None, alias="tls-server-name")
    proxy_url: str | None = Field(None, alias="proxy-url")


class _Variable(_Part):
    name: str
    value: str


class _Exec(_Part):
    api_version: str | None = Field(None, alias="apiVersion")
    command: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str | None = Field(None, alias="installHint")


class _User(_Part):
    token: str | None = None
    token_file: str | None = Field(None, alias="tokenFile")
    username: str | None = None
    password: str | None = None
    client_certificate: str | None = Field(None, alias="client-certificate")
    client_certificate_data: str | None = Field(None, alias="client-certificate-data")
    client_key: str | None = Field(None, alias="client-key")
    client_key_data: str | None = Field(None, alias="client-key-data")
    exec: _Exec | None = None


class _Context(_Part):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class _NamedCluster(_Part):
    name: str
    cluster: _Cluster | None = None


class _NamedUser(_Part):
    name: str
    user: _User | None = None


class _NamedContext(_Part):
    name: str
    context: _Context | None = None


class _Kubeconfig(_Part):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = Field(None, alias="current-context")


# How a value of another kind is called, by pydantic's name of the error.
_KINDS: Final = {
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "missing": "is missing",
}


def shape_error(document: Any) -> str | None:
    """Returns what is wrong with the shape of a kubeconfig, without its values; None: nothing is."""
    try:
        _Kubeconfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        return f"{place.lstrip('.') or 'the whole'} {_KINDS.get(first['type'], 'has the wrong type')}"
    return None


def server_error(address: str) -> str | None:
    """Returns what is wrong with the address of a server; None: nothing is."""
    wrong = address_error(address, ("https", "http"))
    if wrong is not None:
        return wrong
    url = httpx2.URL(address)
    if url.userinfo:
        return "it holds a user or a password; these belong to the context's user"
    return "it has a query or a fragment" if url.query or url.fragment else None


def proxy_error(address: str) -> str | None:
    """Returns what is wrong with the address of a proxy; None: nothing is."""
    if address.lower().startswith("socks"):
        return "SOCKS proxies can't be used here; give the address of an HTTP proxy"
    return address_error(address, ("http", "https"))


def address_error(address: str, schemes: Collection[str]) -> str | None:
    """Returns what is wrong with an address; nothing of one that may hold a password is in it."""
    try:
        url = httpx2.URL(address)
        host = url.raw_host.decode()
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        return "it is no address" if "@" in address else f"it is no address ({error})"
    if url.scheme not in schemes:
        return f"it must begin with {' or '.join(f'{one}://' for one in schemes)}"
    if url.port is not None and url.port > _HIGHEST_PORT:
        return f"there is no port {url.port}"
    return host_error(host)


def host_error(host: str) -> str | None:
    """Returns what is wrong with the name of a host; None: nothing is."""
    if not host:
        return "it has no host"
    if len(host) > _LONGEST_HOST:
        return f"its host has {len(host)} characters; a name has at most {_LONGEST_HOST}"
    if ":" in host:
        return None  # an IPv6 address
    if not all(0 < len(label) <= _LONGEST_LABEL for label in host.removesuffix(".").split(".")):
        return f"between the dots of its host must be 1 to {_LONGEST_LABEL} characters"
    if not host.isascii() or not host.isprintable() or set(host) & set(" %"):
        return "its host has characters that no name has"
    return None
