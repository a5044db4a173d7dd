"""A stand-in for pulumi-vsphere's plugin: `python standin.py ENGINE` serves it.

It makes VMs on the simulator that VSPHERE_SERVER names, with as many CPUs as it is told, and finds
everything else that is asked for by its name alone.
"""

from __future__ import annotations

import argparse
import os
import ssl
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from tests.support.client import Client
from vmsnapshot.frontends.plugin.__main__ import serve
from vmsnapshot.lifecycle import requests
from vmsnapshot.lifecycle.provider import Provider
from vmsnapshot.model.values import UNKNOWN, plain

SCHEMA: dict[str, Any] = {"name": "vsphere", "provider": {"inputProperties": {}}}


class Machines(Provider):
    """Makes VMs, and leaves them alone."""

    def __init__(self, logger: requests.Logger) -> None:
        host, _, port = os.environ["VSPHERE_SERVER"].partition(":")
        context = ssl._create_unverified_context()
        login = (os.environ["VSPHERE_USER"], os.environ["VSPHERE_PASSWORD"])
        self._session: Any = SmartConnect(
            host=host, port=int(port), user=login[0], pwd=login[1], sslContext=context
        )
        self._client = Client(self._session.RetrieveContent())

    def check_configuration(self, new_inputs: requests.Properties) -> requests.CheckResult:
        """The login comes from the environment."""
        return requests.CheckResult(new_inputs)

    def diff_configuration(
        self, old_inputs: requests.Properties, new_inputs: requests.Properties
    ) -> requests.DiffResult:
        """Nothing to compare."""
        return requests.DiffResult()

    def configure(
        self,
        inputs: requests.Properties,
        state: str | None = None,
    ) -> requests.Properties:
        """Nothing to set."""
        return inputs

    def check(self, request: requests.CheckRequest) -> requests.CheckResult:
        """Anything goes."""
        return requests.CheckResult(request.new_inputs)

    def diff(self, request: requests.DiffRequest) -> requests.DiffResult:
        """The program never changes its VM."""
        return requests.DiffResult()

    def create(self, request: requests.CreateRequest) -> requests.Resource:
        """A running VM; its `moid` isn't known in a preview."""
        if request.preview:
            return requests.Resource("", {**request.inputs, "moid": UNKNOWN}, request.inputs)
        told = plain(request.inputs)
        other = self._client.vm("web-1")
        spec = vim.vm.ConfigSpec(
            name=told["name"],
            guestId=told["guestId"],
            numCPUs=int(told["numCpus"]),
            memoryMB=int(told["memory"]),
            files=vim.vm.FileInfo(vmPathName=f"[{other.datastore[0].name}]"),
        )
        made = self._client.wait(other.parent.CreateVM_Task(config=spec, pool=other.resourcePool))
        self._client.wait(made.PowerOnVM_Task())
        return requests.Resource(made._moId, {**told, "moid": made._moId}, request.inputs)

    def delete(self, request: requests.DeleteRequest) -> None:
        """Off, and gone with its snapshots."""
        vm = self._client.vm(plain(request.state)["name"])
        self._client.wait(vm.PowerOffVM_Task())
        self._client.wait(vm.Destroy_Task())

    def invoke(self, token: str, args: requests.Properties) -> requests.InvokeResult:
        """What is asked for, with an id."""
        return requests.InvokeResult({**args, "id": f"id of {plain(args)['name']}"})

    def cancel(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """End the session."""
        Disconnect(self._session)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", nargs="?")
    serve(Machines, engine=parser.parse_known_args()[0].engine, schema=lambda: SCHEMA)
