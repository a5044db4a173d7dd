"""Each case lives on vSphere, through each frontend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.table.cases import COMMON
from tests.table.frontend import FRONTENDS, Frontend
from tests.table.life import Case, live, refuses
from tests.table.platforms import ON_VSPHERE, REFUSED_ON_VSPHERE
from tests.table.world import World, vsphere

CASES = {case.name: case for case in (*COMMON, *ON_VSPHERE)}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A vCenter for all cases."""
    with vsphere() as found:
        yield found


@pytest.mark.parametrize("frontend", FRONTENDS, indirect=True)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_life(world: World, frontend: Frontend, case: Case) -> None:
    """Each verb does what it announced, and nothing more; the reason for a case stands with it."""
    live(case, world, frontend)


@pytest.mark.timeout(300)  # a process for each command
@pytest.mark.parametrize(
    ("fresh_front", "name"),
    [("plugin", "power alone"), ("dynamic", "settings of the delete")],
    indirect=["fresh_front"],
)
def test_a_life_of_many_processes(world: World, fresh_front: Frontend, name: str) -> None:
    """A new process of the provider for each command knows from state all that it needs."""
    live(CASES[name], world, fresh_front)


@pytest.mark.parametrize("frontend", FRONTENDS, indirect=True)
def test_what_it_cannot_do(world: World, frontend: Frontend) -> None:
    """It is refused with the property's name before anything is done, and the state stays empty."""
    refuses(REFUSED_ON_VSPHERE, world, frontend)
