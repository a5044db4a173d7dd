"""No clone is switched on while it is on another network than was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.rehearsal.conftest import VMS, names, rehearsal, started
from tests.support.client import Client
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator


class Connecting:
    """A backend beside which somebody changes a clone's adapter as soon as it is made or changed."""

    def __init__(self, backend: Any, client: Client, network: str | None) -> None:
        self._backend = backend
        self._client = client
        self._network = network

    def __getattr__(self, name: str) -> Any:
        """What makes VMs is replaced; all else is the backend's."""
        real = getattr(self._backend, name)
        if name == "clones":
            return Connecting(real, self._client, self._network)
        if name not in {"clone", "reconfigure"}:
            return real

        def call(vm: Any, *arguments: Any) -> Any:
            result = real(vm, *arguments)
            self._connect(arguments[1].name if name == "clone" else vm.identity.name)
            return result

        return call

    def _connect(self, clone: str) -> None:
        (card,) = self._client.adapters(clone)
        card.connectable.startConnected = True
        if self._network is not None:
            card.backing.deviceName = self._network
        edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        self._client.reconfigure(clone, deviceChange=[edit])


@pytest.mark.parametrize("network", [None, "VM Network (prod)"], ids=["isolated", "mapped"])
def test_a_clone_on_another_network_is_not_started(
    vsphere: Simulator, client: Client, network: str | None
) -> None:
    """The rehearsal fails, says why, and deletes its clones; none has run."""
    here = client.vm("web-1").network[0].name
    if network is not None:
        client.move_adapter("web-1", network)  # after the checkpoint: so there is such a network
    stack = mini_stack(vsphere.settings, around=lambda backend: Connecting(backend, client, network))
    mapped = {} if network is None else {"networks": {here: "VM Network"}}
    stack.write(it=rehearsal(**mapped))
    failed = stack.up().failed().words
    assert "was not switched on: " in failed
    assert ("isn't known to be" if network is None else f'is on {network}, not on "VM Network"') in failed
    assert started(client) == []
    assert names(client) == sorted(VMS)
