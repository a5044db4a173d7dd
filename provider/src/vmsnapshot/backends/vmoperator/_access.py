"""Where the API server is, which certificate it must show, and how to log in: the kubeconfig."""

from __future__ import annotations

import base64
import dataclasses
import os
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from vmsnapshot.backends.vmoperator._kubeconfig import host_error, proxy_error, server_error, shape_error
from vmsnapshot.backends.vmoperator._login import TokenAuth, from_file, from_program
from vmsnapshot.lifecycle.errors import InvalidInput
from vmsnapshot.model.configuration import Configuration, is_kubeconfig_content

DEFAULT_NAMESPACE: Final = "default"
_HOME: Final = "~/.kube/config"
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# What a kubeconfig may name by a path relative to its own folder.
_FILES: Final = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}
# Where an entry is from, put into it here; of content, nowhere.
_FILE: Final = "vmsnapshot/file"
# What is wrong with an address of the cluster, if anything.
_ADDRESSES: Final[dict[str, Callable[[str], str | None]]] = {
    "server": server_error,
    "proxy-url": proxy_error,
    "tls-server-name": host_error,
}
# A shorter value of a credential program's environment (`true`, `1`) is in many words, and no secret.
_SHORTEST_SECRET: Final = 8


@dataclasses.dataclass(frozen=True)
class Access:
    """A server, how to know it, and who we are there.

    Attributes:
        server: Its address, such as `https://10.0.0.4:6443`.
        namespace: Where VMs are looked for when nobody says.
        verify: Which certificate it must show.
        auth: What logs a request in.
        server_name: The name that its certificate must have, where that isn't the address.
        proxy: The proxy to reach it by; None: as the environment says.
        secrets: What must be in no message.
    """

    server: str
    namespace: str
    verify: ssl.SSLContext
    auth: httpx2.Auth | None = None
    server_name: str | None = None
    proxy: str | None = None
    secrets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, configuration: Configuration) -> Access:
        """The access of a configuration; the server isn't contacted.

        Raises:
            InvalidInput: A setting is wrong, or what the kubeconfig holds.
        """
        given = configuration.kubeconfig
        if given is None and not Path(_HOME).expanduser().is_file() and _in_cluster():
            context, cluster, user = _of_the_pod()
        else:
            context, cluster, user = _chosen(_kubeconfig(given or _HOME), configuration.context)
        server, there = str(cluster.get("server") or ""), _there(cluster)
        if not server:
            told = f"kubeconfig: the context's cluster{there} has no server address."
            raise InvalidInput("kubeconfig", told)
        for name, error_of in _ADDRESSES.items():
            if cluster.get(name) and (wrong := error_of(str(cluster[name]))) is not None:
                told = f"kubeconfig: the cluster's `{name}`{there} can't be used: {wrong}."
                raise InvalidInput("kubeconfig", told)
        return cls(
            server=server.rstrip("/"),
            namespace=configuration.namespace or str(context.get("namespace") or "") or DEFAULT_NAMESPACE,
            verify=(context_of_tls := _verify(cluster, user)),
            auth=_auth(user, cluster, context_of_tls),
            server_name=cluster.get("tls-server-name"),
            proxy=cluster.get("proxy-url"),
            secrets=frozenset(_secrets(user, cluster)),
        )

    def secret_words(self) -> set[str]:
        """What must be in no message, with the token in use."""
        token = self.auth.token if isinstance(self.auth, TokenAuth) else None
        return {*self.secrets, *([token] if token else [])}


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_SERVICE_ACCOUNT / "token").is_file()


def _of_the_pod() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The context, cluster and user of the service account that we run as."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = _SERVICE_ACCOUNT / "namespace"
    return (
        {"namespace": namespace.read_text(encoding="utf-8").strip() if namespace.is_file() else None},
        {
            "server": f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            "certificate-authority": str(_SERVICE_ACCOUNT / "ca.crt"),
        },
        {"tokenFile": str(_SERVICE_ACCOUNT / "token")},
    )


def _chosen(
    whole: Mapping[str, Any], context: str | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The context, its cluster and its user."""
    name = context or whole.get("current-context")
    known = f"it has: {_listed(_names(whole, 'contexts'))}."
    if not name:
        raise InvalidInput(
            "context", f"context is not set, and the kubeconfig has no current-context; {known}"
        )
    found = _entry(whole, "context", str(name))
    if found is None:
        raise InvalidInput("context", f"context: the kubeconfig has no context {name!r}; {known}")
    parts: list[dict[str, Any]] = []
    for kind in ("cluster", "user"):
        wanted = found.get(kind)
        part = _entry(whole, kind, str(wanted)) if wanted or kind == "cluster" else {}
        if part is None:
            raise InvalidInput(
                "kubeconfig",
                f"kubeconfig: context {name!r} names the {kind} {wanted!r}, which isn't there."
                if wanted
                else f"kubeconfig: context {name!r} names no {kind}.",
            )
        parts.append(part)
    return found, parts[0], parts[1]


def _auth(
    user: Mapping[str, Any], cluster: Mapping[str, Any], connections: ssl.SSLContext
) -> httpx2.Auth | None:
    """How a user logs in, where it isn't by a certificate; in kubectl's order."""
    if user.get("tokenFile"):
        return TokenAuth(partial(from_file, str(user["tokenFile"])))
    if user.get("token"):
        token = str(user["token"])
        return TokenAuth(lambda: (token, None))
    if user.get("username"):
        return httpx2.BasicAuth(str(user["username"]), str(user.get("password") or ""))
    if user.get("exec"):
        return TokenAuth(partial(from_program, user["exec"], cluster, partial(_show, connections)))
    if user.get("auth-provider"):
        raise InvalidInput(
            "kubeconfig", "kubeconfig: `auth-provider` is no longer known to Kubernetes; use `exec`."
        )
    return None


def _verify(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    """Which certificate the server must show, and the one that we show.

    Raises:
        InvalidInput: One of them can't be read; nothing of it is in the message.
    """
    try:
        authority, data = cluster.get("certificate-authority"), cluster.get("certificate-authority-data")
        if data:
            # Of anything else than base64 nothing would be left, and any authority be trusted.
            decoded = base64.b64decode("".join(data.split()), validate=True)
            context = ssl.create_default_context(cadata=decoded.decode() or "nothing")
        elif authority:
            context = ssl.create_default_context(cafile=authority)
        else:
            context = httpx2.create_ssl_context()
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if user.get("client-certificate-data") or user.get("client-certificate"):
            _show(context, _content(user, "client-certificate") + b"\n" + _content(user, "client-key"))
    except (OSError, ValueError, TypeError) as error:
        # Not in its own words: they may hold what was read.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise InvalidInput(
            "kubeconfig",
            f"kubeconfig: a certificate or key that it names{_there(cluster)} can't be read ({reason}).",
        ) from None
    return context


def _content(user: Mapping[str, Any], name: str) -> bytes:
    data = user.get(f"{name}-data")
    return base64.b64decode(data) if data else Path(str(user.get(name) or "")).read_bytes()


def _show(context: ssl.SSLContext, certificate_and_key: bytes) -> None:
    """Log in with a certificate; Python reads it from a file only, which only we may read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "login.pem")
        file.touch(mode=0o600)
        file.write_bytes(certificate_and_key)
        context.load_cert_chain(file)


def _kubeconfig(given: str) -> dict[str, Any]:
    """The kubeconfig that a setting names or is.

    Raises:
        InvalidInput: There is no such file, or it is no kubeconfig.
    """
    if is_kubeconfig_content(given):
        return _parsed(given, "its content")
    paths = [Path(part).expanduser() for part in given.split(os.pathsep) if part]
    # As kubectl does: of several files, those that aren't there are left out.
    present = [path for path in paths if path.is_file()]
    if not present:
        where = "neither the setting nor KUBECONFIG is set, and " if given == _HOME else ""
        raise InvalidInput(
            "kubeconfig",
            f"kubeconfig: {where}there is no file {os.pathsep.join(map(str, paths))}; give the path of a "
            "kubeconfig file or its content.",
        )
    whole: dict[str, Any] = {}
    for path in present:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            raise InvalidInput("kubeconfig", f"kubeconfig: {path} can't be read.") from None
        whole = _merged(whole, _parsed(text, str(path)), path)
    return whole


def _parsed(text: str, what: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe ones
    except yaml.YAMLError as error:
        # Its own words quote the text.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise InvalidInput("kubeconfig", f"kubeconfig: {what} is not YAML{where}.") from None
    if not isinstance(found, dict):
        raise InvalidInput(
            "kubeconfig", f"kubeconfig: {what} is not a kubeconfig: it has no clusters, contexts and users."
        )
    if (wrong := shape_error(found)) is not None:
        raise InvalidInput("kubeconfig", f"kubeconfig: {what} is not a kubeconfig: {wrong}.")
    whole = {name: value for name, value in found.items() if value is not None}
    return {"clusters": [], "contexts": [], "users": []} | whole


def _merged(first: Mapping[str, Any], second: dict[str, Any], path: Path) -> dict[str, Any]:
    """Both; of two entries with one name, the first one counts, as for kubectl.

    Args:
        first: What other files hold.
        second: What this one holds; its paths are made absolute.
        path: This one.
    """
    folder = path.resolve().parent
    for kind, files in _FILES.items():
        for item in second[f"{kind}s"]:
            inner = item[kind] = item.get(kind) or {}
            inner[_FILE] = str(path)
            for name in files:
                if inner.get(name):
                    inner[name] = str(folder / inner[name])
            command = ((inner.get("exec") or {}).get("command") or "") if kind == "user" else ""
            if os.sep in command:
                inner["exec"]["command"] = str(folder / command)
    if not first:
        return second
    merged = {**second, **first}
    for name in ("clusters", "contexts", "users"):
        known = {item.get("name") for item in first[name]}
        merged[name] = [*first[name], *(item for item in second[name] if item.get("name") not in known)]
    merged["current-context"] = first.get("current-context") or second.get("current-context")
    return merged


def _there(entry: Mapping[str, Any]) -> str:
    """Which file an entry is from, as a part of a sentence."""
    return f" in {entry[_FILE]}" if _FILE in entry else ""


def _entry(whole: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    for item in whole[f"{kind}s"]:
        if item.get("name") == name:
            found = item.get(kind)
            return found if isinstance(found, dict) else {}
    return None


def _names(whole: Mapping[str, Any], kind: str) -> list[str]:
    return [str(item.get("name")) for item in whole[kind]]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _secrets(user: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[str]:
    if cluster.get("proxy-url"):
        yield from (part for part in (httpx2.URL(str(cluster["proxy-url"])).password,) if part)
    for name in ("token", "password", "client-key-data"):
        if user.get(name):
            yield str(user[name])
    for item in (user.get("exec") or {}).get("env") or ():
        if len(str(item.get("value") or "")) >= _SHORTEST_SECRET:
            yield str(item["value"])
