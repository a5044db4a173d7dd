"""Starts a real Kubernetes API server with the VM Operator's real CRDs, and tells what it was asked.

It is kube-apiserver with etcd and nothing else: there is no controller manager, so nothing collects
garbage, and a deleted namespace stays. Give each test a namespace of its own. The VM Operator's part is
played by the stand-in in devkit/vmoperator.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import yaml
from lightkube import ApiError, Client, KubeConfig, SingleConfig
from lightkube.config import client_adapter
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.authorization_v1 import SubjectAccessReview
from lightkube.resources.core_v1 import Namespace
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

from devkit.places import BINARIES, ROOT
from devkit.processes import end
from devkit.waiting import until

GROUP = "vmoperator.vmware.com"
VERSION = "v1alpha5"
CRDS = ROOT / ".build" / "crds"
# Where users read what a login must be allowed to do.
PERMISSIONS = ROOT / "docs" / "vm-operator.md"
# Those that snapshots and reverts need; the folder holds all of the VM Operator's.
PLURALS = ("virtualmachines", "virtualmachinesnapshots")

# Objects of these kinds are read and written as dictionaries: `vm.spec["currentSnapshotName"]`.
VirtualMachine = create_namespaced_resource(GROUP, VERSION, "VirtualMachine", "virtualmachines")
VirtualMachineSnapshot = create_namespaced_resource(
    GROUP, VERSION, "VirtualMachineSnapshot", "virtualmachinesnapshots"
)
# lightkube's own class would copy 300 KB of schema into objects and back.
Definition = create_global_resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)

# A rule of a role, as its YAML has it.
Rule: TypeAlias = Mapping[str, Sequence[str]]
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Request:
    """One request that the server got, as its audit log has it.

    Attributes:
        verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
        resource: `virtualmachinesnapshots`; with the subresource after a slash, such as
            `virtualmachinesnapshots/status`. Empty for discovery and the like.
        namespace: Where, or empty.
        name: Of the object; empty where it isn't in the path (list, watch, create).
        path: The path and query asked for.
        user: Who asked.
        agent: The User-Agent header.
    """

    verb: str
    resource: str
    namespace: str
    name: str
    path: str
    user: str
    agent: str


class ApiServer:
    """One running API server.

    It knows four users, each with a kubeconfig file of its own: `admin` (the tests) and `controller` (the
    stand-in), who may do everything; `provider`, who may do what the documentation's role says in each
    namespace that `namespace` makes; and `reader-less`, who may do nothing beside discovery.

    Attributes:
        folder: Its data, keys and logs.
        url: Where it serves, such as `https://127.0.0.1:41235`.
        kubeconfig: The provider's kubeconfig file.
        certified: The same, with a client certificate in place of the token.
        kubeconfigs: The kubeconfig files of all users, by user.
        certificate: A file with the authority that signed its certificate (PEM).
        process: The process; ended when its standard input is closed.
        client: A lightkube client of the user `admin`; it serves over restarts too.
    """

    def __init__(self, folder: Path, *arguments: str, port: int = 0) -> None:
        self.folder = folder
        self._arguments = arguments
        self._begin(port)
        self.client = self.client_of("admin")

    def _begin(self, port: int) -> None:
        self.process = subprocess.Popen(
            [
                str(BINARIES / "vmsnapshot-kube-apiserver"),
                *("--dir", str(self.folder), "--port", str(port), "--exit-with-stdin", "--"),
                *self._arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GOGC": "400"},  # a fifth of its time would be collecting garbage
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.kill()
            raise AssertionError(f"the API server ended before it was ready; see {self.folder / 'log'}")
        ready: Mapping[str, Any] = json.loads(line)
        self.url: str = ready["url"]
        self.kubeconfigs = {user: Path(path) for user, path in ready["kubeconfigs"].items()}
        self.kubeconfig = self.kubeconfigs["provider"]
        self.certified = Path(ready["certified"])
        self.certificate = Path(ready["certificate"])
        self._audit_log = Path(ready["audit_log"])

    def client_of(self, user: str) -> Client:
        """A lightkube client of a user; to be closed by who asked for it."""
        return Client(config=self._config_of(user), trust_env=False)

    def ask(self, verb: str, path: str, body: Any = None, *, user: str = "admin") -> httpx2.Response:
        """Send one request as it is, for what lightkube has no argument for; give the answer, also a refusal.

        Args:
            verb: `GET`, `POST`, …
            path: Below the server's root, with a query.
            body: Sent as JSON.
            user: Who asks.
        """
        parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(30), trust_env=False)
        with client_adapter.Client(self._config_of(user), parameters) as client:
            answer: httpx2.Response = client.request(verb, path, json=body)
        return answer

    def _config_of(self, user: str) -> SingleConfig:
        config = KubeConfig.from_file(self.kubeconfigs[user]).get()
        assert config is not None
        return config

    # Its life

    def kill(self) -> None:
        """End it at once, as kill -9 does; `restart` brings it back."""
        self.process.kill()
        end(self.process)

    def stop(self) -> None:
        """End it for good; also after `kill`."""
        self.client.close()
        end(self.process)

    def restart(self) -> None:
        """Start it again on its port with its data, users and certificate; ends it first if it runs."""
        if self.process.poll() is None:
            self.kill()
        self._begin(int(self.url.rpartition(":")[2]))

    # What is in it

    def namespace(self, name: str, rules: Sequence[Rule] | None = None) -> str:
        """Make a namespace, unless it is there, and let the provider work in it; its name.

        Args:
            name: The namespace.
            rules: What the provider may do there. None: as the documentation's role says.
        """
        with already_there():
            self.client.create(Namespace(metadata=ObjectMeta(name=name)))
        self.allow(name, "provider", documented_rules() if rules is None else rules)
        return name

    def allow(self, namespace: str, user: str, rules: Sequence[Rule]) -> None:
        """Give a user a role in a namespace; back when it is in force."""
        metadata = {"name": user, "namespace": namespace}
        subject = {"kind": "User", "apiGroup": RBAC, "name": user}
        reference = {"kind": "Role", "apiGroup": RBAC, "name": user}
        role: Any = Role.from_dict({"metadata": metadata, "rules": list(rules)})
        bound = {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
        binding: Any = RoleBinding.from_dict(bound)
        for item in (role, binding):
            with already_there():
                self.client.create(item)
        until(lambda: self.may(namespace, user, rules[0]))

    def may(self, namespace: str, user: str, rule: Rule) -> bool:
        """Whether a user may do the first that a rule allows."""
        wanted = {"group": rule["apiGroups"][0], "resource": rule["resources"][0], "verb": rule["verbs"][0]}
        spec = {"user": user, "resourceAttributes": {"namespace": namespace, **wanted}}
        review: Any = SubjectAccessReview.from_dict({"spec": spec})
        return bool(self.client.create(review).status.allowed)

    def define(self, *crds: Mapping[str, Any]) -> None:
        """Make the VM Operator's resources, and wait until they are served."""
        for crd in crds:
            with already_there():
                self.client.create(Definition.from_dict(dict(crd)))
        for crd in crds:
            for version in crd["spec"]["versions"]:
                plural = crd["spec"]["names"]["plural"]
                until(partial(self._serves, f"/apis/{crd['spec']['group']}/{version['name']}/{plural}"))

    def _serves(self, path: str) -> bool:
        return bool(self.ask("GET", path).is_success)

    # What it was asked

    def mark(self) -> int:
        """Where the audit log ends now, for `requests`."""
        return self._audit_log.stat().st_size

    def requests(
        self, *, user: str = "provider", user_agent_contains: str = "", namespace: str = "", since: int = 0
    ) -> list[Request]:
        """The requests that came in, in order; a watch counts once, when it begins.

        The log is exact: a request is in it before it has any effect.

        Args:
            user: Only those of this user.
            user_agent_contains: Only those with this in their User-Agent.
            namespace: Only those for this namespace (discovery is for none).
            since: Only those after this `mark`.
        """
        with self._audit_log.open("rb") as log:
            log.seek(since)
            events = [json.loads(line) for line in log if line.endswith(b"\n")]
        requests = [_request(event) for event in events]
        return [
            request
            for request in requests
            if request.user == user
            and user_agent_contains in request.agent
            and namespace in {"", request.namespace}
        ]


def _request(event: Mapping[str, Any]) -> Request:
    about = event.get("objectRef", {})
    parts = (about.get("resource", ""), about.get("subresource", ""))
    return Request(
        verb=event["verb"],
        resource="/".join(part for part in parts if part),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        path=event["requestURI"],
        user=event["user"]["username"],
        agent=event.get("userAgent", ""),
    )


def documented_rules(kind: str = "Role") -> list[Rule]:
    """The rules of the role that the documentation tells users to make."""
    text = PERMISSIONS.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    items = [item for block in blocks for item in yaml.safe_load_all(block)]
    (rules,) = (item["rules"] for item in items if item.get("kind") == kind)
    return list(rules)


@contextlib.contextmanager
def already_there() -> Iterator[None]:
    """Whatever is made in the block may exist already."""
    try:
        yield
    except ApiError as error:
        if error.status.code != HTTPStatus.CONFLICT:
            raise


def definition(plural: str) -> dict[str, Any]:
    """The VM Operator's CRD of a resource, from its release, with the one version that we speak.

    The older versions of a VM are converted to that one by the VM Operator, which isn't here.
    """
    text = (CRDS / f"{GROUP}_{plural}.yaml").read_text(encoding="utf-8")
    crd: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    crd["spec"]["versions"] = [version for version in crd["spec"]["versions"] if version["name"] == VERSION]
    return crd


@contextlib.contextmanager
def running(*arguments: str, crd: Callable[[str], Mapping[str, Any]] = definition) -> Iterator[ApiServer]:
    """An API server that serves VirtualMachines and their snapshots, for as long as the block runs.

    Args:
        arguments: Further flags of kube-apiserver.
        crd: A resource's CRD, by its plural.
    """
    with tempfile.TemporaryDirectory(prefix="apiserver-") as folder:
        server = ApiServer(Path(folder), *arguments)
        try:
            server.define(*map(crd, PLURALS))
            yield server
        finally:
            server.stop()
