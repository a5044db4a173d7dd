from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.table.frontend import FRONTENDS, Frontend
from tests.table.world import World

pytest.register_assert_rewrite("tests.table.life")  # its assertions are to be explained as a test's are


@pytest.fixture(scope="module")
def frontend(request: pytest.FixtureRequest, world: World) -> Iterator[Frontend]:
    """A way in by its name, with one provider for all cases of a module."""
    start, draws = FRONTENDS[request.param]
    # An engine that is attached to a plugin configures it for each command; to the process of dynamic
    # resources none is attached.
    made = Frontend(lambda: start(world), draws=draws, kept=request.param == "plugin")
    yield made
    made.end()


@pytest.fixture
def fresh_front(request: pytest.FixtureRequest, world: World) -> Frontend:
    """A way in with a new provider for each command, as the engine has it."""
    start, draws = FRONTENDS[request.param]
    return Frontend(lambda: start(world), draws=draws, kept=False)
