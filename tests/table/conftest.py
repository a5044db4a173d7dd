from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.table.front import FRONTS, Front
from tests.table.vm_operator import vm_operator
from tests.table.world import World, vsphere

pytest.register_assert_rewrite("tests.table.life")  # its assertions are to be explained as a test's are


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A platform by its name, one for all cases."""
    worlds: dict[str, Callable[[], AbstractContextManager[World]]] = {
        "vsphere": vsphere,
        "vmoperator": lambda: vm_operator(request.getfixturevalue("api_server")),
    }
    with worlds[request.param]() as found:
        yield found


def _front(name: str, world: World, *, kept: bool) -> Front:
    start, draws = FRONTS[name]
    return Front(lambda: start(world), draws=draws, kept=kept)


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, world: World) -> Iterator[Front]:
    """One provider for all cases."""
    made = _front(request.param, world, kept=True)
    yield made
    made.end()


@pytest.fixture(scope="module", params=FRONTS)
def fresh_front(request: pytest.FixtureRequest, world: World) -> Front:
    """A new provider for each command, as the engine has it."""
    return _front(request.param, world, kept=False)
