"""Each case lives on the VM Operator, played by the stand-in, through each frontend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devkit.kubernetes import ApiServer
from tests.table.cases import COMMON
from tests.table.frontend import FRONTENDS, Frontend
from tests.table.life import Case, live, refuses
from tests.table.platforms import ON_THE_VM_OPERATOR, REFUSED_ON_THE_VM_OPERATOR
from tests.table.vm_operator import vm_operator
from tests.table.world import World

CASES = {case.name: case for case in (*COMMON, *ON_THE_VM_OPERATOR)}


# The API versions that the VM Operator stores, and the API server on which it does.
STORED = {"v1alpha5": "api_server", "v1alpha6": "newer_api_server"}
# Both frontends, and both versions: which of them is stored is nothing that a frontend knows of.
WAYS = pytest.mark.parametrize(
    ("world", "frontend"),
    [(STORED["v1alpha5"], "plugin"), (STORED["v1alpha5"], "dynamic"), (STORED["v1alpha6"], "plugin")],
    ids=["v1alpha5-plugin", "v1alpha5-dynamic", "v1alpha6-plugin"],
    indirect=True,
    scope="module",
)


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One stand-in for all cases; others (kubectl) speak v1alpha5 in any case."""
    server: ApiServer = request.getfixturevalue(request.param)
    with vm_operator(server) as found:
        yield found


@WAYS
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_life(world: World, frontend: Frontend, case: Case) -> None:
    """Each verb does what it announced, and nothing more; the reason for a case stands with it."""
    live(case, world, frontend)


@pytest.mark.timeout(300)  # a process for each command
@pytest.mark.parametrize("fresh_front", FRONTENDS, indirect=True)
@pytest.mark.parametrize("world", STORED.values(), ids=STORED, indirect=True, scope="module")
def test_a_life_of_many_processes(world: World, fresh_front: Frontend) -> None:
    """A new process of the provider for each command knows from state all that it needs."""
    live(CASES["settings of the delete"], world, fresh_front)


@WAYS
def test_what_it_cannot_do(world: World, frontend: Frontend) -> None:
    """It is refused with the property's name before anything is done, and the state stays empty."""
    refuses(REFUSED_ON_THE_VM_OPERATOR, world, frontend)
