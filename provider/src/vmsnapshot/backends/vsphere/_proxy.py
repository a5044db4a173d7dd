"""The HTTP proxy by which a server is reached, as the environment says."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import urllib.parse
import urllib.request
from typing import Final

from vmsnapshot.lifecycle.errors import InvalidInput

# The port of a proxy whose address names none, as for each address with the scheme http.
_DEFAULT_PORT: Final = 80


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy that connects through to a server (CONNECT).

    Attributes:
        host: A name or an address (IPv6 without brackets).
        port: 80 unless the address says otherwise.
        headers: What it is sent: Proxy-Authorization, where the address names a user.
    """

    host: str
    port: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        """Its address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def proxy_for(host: str, port: int) -> Proxy | None:
    """The proxy that HTTPS_PROXY names for a server, unless NO_PROXY names the server; None: none.

    As with other clients: lower-case names of the variables count first, and a server on this machine
    is always reached directly (so govc's, golang.org/x/net/http/httpproxy). An entry of NO_PROXY is a name,
    which stands for what is below it, too, an address, a network (`10.0.0.0/8`) or `*`, each but the network
    perhaps with a port.

    Raises:
        InvalidInput: HTTPS_PROXY names no proxy that can be used.
    """
    named = urllib.request.getproxies_environment()
    address = named.get("https")
    if not address or _is_local(host) or _is_excepted(host, port, named):
        return None
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urllib.parse.urlsplit(address)
        proxy_host, proxy_port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        proxy_host, proxy_port = None, 0
    if proxy_host is None or parts.scheme != "http":
        raise InvalidInput(
            "vsphereServer",
            "HTTPS_PROXY: expected the address of an HTTP proxy, such as http://proxy.example.com:3128 "
            "(a proxy that is itself reached by https or SOCKS can't be used). Correct it, or name the "
            "server in NO_PROXY to reach it directly.",
        )
    headers = {}
    if parts.username is not None:
        user = urllib.parse.unquote(parts.username)
        login = f"{user}:{urllib.parse.unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Proxy(proxy_host, proxy_port, headers)


def _is_local(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _is_excepted(host: str, port: int, named: dict[str, str]) -> bool:
    # By name, the standard library knows the rules; addresses in networks it doesn't.
    written = f"[{host}]" if ":" in host else host
    if urllib.request.proxy_bypass(f"{written}:{port}"):
        return True
    address = _address(host)
    if address is None:
        return False
    for entry in named.get("no", "").split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
