"""Every case lives through check, preview, create, preview, updates, refresh and delete."""

from __future__ import annotations

import pytest

from tests.support.ministack import MiniStack
from tests.table.front import Front
from tests.table.life import NAME, Case, live
from tests.table.platforms import CASES, REFUSALS, Refusal
from tests.table.world import World


def _on(platform: str, case: Case) -> object:
    return pytest.param(platform, case, id=f"{platform}-{case.name}")


ALL = [_on(platform, case) for platform, cases in CASES.items() for case in cases]
POWER = [
    _on(platform, case) for platform, cases in CASES.items() for case in cases if case.name == "power alone"
]


@pytest.mark.parametrize(("world", "case"), ALL, indirect=["world"])
def test_a_life(world: World, case: Case, front: Front) -> None:
    """Each verb does what it announced, and nothing more; the reason for a case stands with it."""
    live(case, world, front)


@pytest.mark.parametrize(("world", "case"), POWER, indirect=["world"])
def test_a_life_of_many_processes(world: World, case: Case, fresh_front: Front) -> None:
    """A new process of the provider for each command knows from state all that it needs."""
    live(case, world, fresh_front)


@pytest.mark.parametrize("world", CASES, indirect=True)
def test_what_a_platform_cannot_do(world: World, front: Front) -> None:
    """It is refused with the property's name before anything is done, and the state stays empty."""
    vm = world.vm()
    stack = MiniStack(front.connect)
    refusals: tuple[Refusal, ...] = REFUSALS[world.name]
    for refusal in refusals:
        given = world.properties(vm) | refusal.properties
        stack.write(**{NAME: {"type": refusal.token, "properties": given}})
        for command in (stack.preview, stack.up):
            refused = command().failed()
            assert [item.property for item in refused.errors[NAME].failures] == [refusal.property]
            assert refusal.says in refused.words
    assert not stack.entries
    assert world.done(vm) == []
