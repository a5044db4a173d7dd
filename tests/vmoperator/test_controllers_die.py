"""The VM Operator itself is killed in the middle of a revert."""

from __future__ import annotations

from devkit.kubernetes import ApiServer
from devkit.vmoperator import StandIn
from devkit.waiting import until
from tests.support.client import other_client
from tests.support.simulator import running
from tests.support.vsphere import Doing
from tests.vmoperator.harness import Harness, give_back
from tests.vmoperator.reverting import REQUEST, found


def test_the_vm_operator_reverts_again_and_we_asked_once(api_server: ApiServer, namespace: str) -> None:
    """It had reverted in vSphere and forgot it: two vSphere reverts for one request, which ends well."""
    kubeconfig = api_server.kubeconfigs["controller"]
    with (
        running("--names", "web-1", "--task-duration", "10ms") as vcenter,
        other_client(vcenter) as other_user,
    ):
        with StandIn(kubeconfig, vcenter) as first:
            first.add_machine(namespace, "web-1")
            harness = Harness(api_server, first, other_user, namespace)
            harness.take("base")
            harness.take("later")
            before = len(harness.requests())
            first.steering.hold("restore")
            doing = Doing(lambda: harness.revert("base"))
            until(lambda: first.steering.waiting("restore"))
        with StandIn(kubeconfig, vcenter) as second:
            doing.result()
            task = found(harness, request=REQUEST)
            assert task is not None
            assert (task.running, task.succeeded, task.uncertain) == (False, True, False)
            assert len(harness.requests()) == before + 4
            reverted = [item["name"] for item in vcenter.history("web-1") if item["op"] == "revert"]
            assert reverted == ["base", "base"]
            harness.close()
            # Later stand-ins on this API server would switch their web-1 off, as the object left here says.
            give_back(api_server, second, other_user, namespace)
