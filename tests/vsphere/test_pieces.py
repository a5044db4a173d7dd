"""The small pieces below the backend: gathering, queueing, trying again, waiting."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from pyVmomi import vim

from devkit.waiting import until
from tests.support.vsphere import Doing, operation
from vmsnapshot.backends import _retry
from vmsnapshot.backends._keyed_lock import KeyedLock
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._reads import EndedTasks
from vmsnapshot.lifecycle.background import Future, in_background
from vmsnapshot.lifecycle.errors import Busy, Cancelled, Gone, Refused, TimedOut, Unreachable
from vmsnapshot.lifecycle.operation import Cancellation


def test_what_comes_while_a_batch_is_under_way_makes_one_batch() -> None:
    """However many ask, one call is under way and one is being gathered."""
    batches: list[list[int]] = []
    may_go = threading.Event()

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        batches.append(sorted(keys))
        may_go.wait(30)
        return {key: key * key for key in keys}

    batcher: Batcher[int, int] = Batcher("test", answer)
    first = Doing(lambda: batcher.ask(0, operation()))
    until(lambda: batches)
    rest = [Doing(partial(batcher.ask, key, operation())) for key in range(1, 20)]
    until(lambda: len(batcher._waiting) == len(rest))
    may_go.set()
    assert first.result() == 0
    assert [each.result() for each in rest] == [key * key for key in range(1, 20)]
    assert batches == [[0], list(range(1, 20))]


def test_one_bad_key_fails_only_who_asked_for_it() -> None:
    """An error for one key is raised by its askers alone; a failed call by all."""

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        if 13 in keys:
            raise Unreachable("all")
        return {key: Gone("one") if key == 4 else key for key in keys}

    batcher: Batcher[int, int] = Batcher("test", answer)
    assert batcher.ask(1, operation()) == 1
    with pytest.raises(Gone):
        batcher.ask(4, operation())
    outcomes = batcher.ask_all([3, 4], operation())
    assert outcomes[3] == 3
    assert isinstance(outcomes[4], Gone)
    with pytest.raises(Unreachable):
        batcher.ask(13, operation())


def test_an_answer_that_lacks_a_key_is_an_error_for_all() -> None:
    """Nobody is left waiting when what answers is broken, and the next who ask are answered."""
    broken = True

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        if broken:
            return {}
        return dict.fromkeys(keys, 1)

    batcher: Batcher[int, int] = Batcher("test", answer)
    with pytest.raises(KeyError):
        batcher.ask(7, operation(seconds=5))
    broken = False
    assert batcher.ask(7, operation(seconds=5)) == 1


def test_many_keys_of_one_caller_let_nobody_be_waited_for() -> None:
    """After one operation has asked for many, the next that asks for one is alone as before."""
    batcher: Batcher[int, int] = Batcher("test", lambda keys: dict.fromkeys(keys, 1))
    batcher.ask_all(range(200), operation())
    assert batcher._usual == 1


def test_the_same_key_is_asked_once() -> None:
    """Several who ask for one thing get one answer."""
    asked: list[int] = []

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        asked.extend(keys)
        return dict.fromkeys(keys, 1)

    batcher: Batcher[int, int] = Batcher("test", answer, lambda: len(batcher._waiting) < 5)
    for each in [Doing(lambda: batcher.ask(7, operation())) for _ in range(5)]:
        assert each.result() == 1
    assert asked == [7]


def test_a_queue_keeps_its_order_and_lets_others_pass() -> None:
    """One VM's operations follow each other; another VM's don't wait."""
    queues = KeyedLock()
    order: list[int] = []
    first_may_go = threading.Event()

    def work(number: int) -> None:
        with queues.hold("vm-1", operation()):
            if number == 0:
                first_may_go.wait(30)
            order.append(number)

    doing = []
    for number in range(4):
        doing.append(Doing(partial(work, number)))
        until(lambda: len(queues._lines["vm-1"]) == len(doing))
    with queues.hold("vm-2", operation()):
        assert order == []
    first_may_go.set()
    for each in doing:
        each.result()
    assert order == [0, 1, 2, 3]
    assert not queues._lines


def test_who_leaves_a_queue_does_not_hold_it_up() -> None:
    """A waiting operation that runs out of time or is cancelled gives up its place only."""
    queues = KeyedLock()
    cancelled = Cancellation()
    cancelled.cancel()
    with queues.hold("vm-1", operation()):
        with pytest.raises(TimedOut), queues.hold("vm-1", operation(seconds=0.05)):
            pass
        with pytest.raises(Cancelled), queues.hold("vm-1", operation(cancellation=cancelled)):
            pass
    with queues.hold("vm-1", operation()):
        assert len(queues._lines) == 1


def test_predicates_compose() -> None:
    """`|`, `&` and `~` say which errors are worth another attempt."""
    passes = _retry.retry_if(Busy) | (_retry.retry_if(Unreachable) & ~_retry.retry_if(Gone))
    assert passes.holds(Busy("x"))
    assert passes.holds(Unreachable("x"))
    assert not passes.holds(Refused("x"))


def test_attempts_end_with_the_first_lasting_error() -> None:
    """What passes is tried again; what lasts is raised at once."""
    failures = [Busy("one"), Busy("two"), Refused("three"), Busy("four")]

    def attempt() -> None:
        raise failures.pop(0)

    with pytest.raises(Refused, match="three"):
        _retry.retry(operation(), _retry.retry_if(Busy), attempt)
    assert len(failures) == 1


def test_pauses_grow_up_to_a_limit() -> None:
    """Each pause is at most twice the one before it was allowed to be, and none is above the limit."""
    waits = _retry.backoff()
    longest = [next(waits) for _ in range(12)]
    assert longest[0] <= _retry.FIRST_PAUSE
    assert max(longest) <= _retry.LONGEST_PAUSE
    assert longest[-1] >= _retry.LONGEST_PAUSE / 2


def test_a_late_value_is_handed_on() -> None:
    """A result that nobody waits for any more is given to whom it concerns."""
    may_go = threading.Event()
    late: list[bool] = []
    ticket = in_background("test", lambda: may_go.wait(30), late.append)
    with pytest.raises(TimedOut):
        ticket.wait(operation(seconds=0.05))
    may_go.set()
    until(lambda: late)


def test_a_value_that_is_there_is_given_even_to_the_cancelled() -> None:
    """What has happened has happened: cancellation doesn't hide a result."""
    ticket: Future[int] = Future()
    ticket.set_result(3)
    cancelled = Cancellation()
    cancelled.cancel()
    assert ticket.wait(operation(cancellation=cancelled)) == 3


def test_tasks_that_a_vm_lists_no_more_are_not_kept() -> None:
    """A plugin that lives long keeps what the server still lists, and not all tasks that ever were."""
    ended = EndedTasks()
    nobody: Any = None  # nothing is missing, so nobody is asked

    def listing(*tasks: str) -> dict[str, Any]:
        return {"vm-1": {"recentTask": [vim.Task(task) for task in tasks]}}

    done = {f"task-{number}": {"info.state": "success"} for number in range(4)}
    assert list(ended.complete(nobody, listing("task-0", "task-1"), done)) == ["task-0", "task-1"]
    assert list(ended.complete(nobody, listing("task-1"), {})) == ["task-1"]
    assert list(ended.complete(nobody, {"vm-2": listing("task-2")["vm-1"]}, done)) == ["task-2"]
    assert ended.count == 2
    assert ended.knows("vm-1")
    assert not ended.knows("vm-3")
