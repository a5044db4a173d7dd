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
from vmsnapshot.backends.vsphere import _batcher
from vmsnapshot.backends.vsphere._batcher import Batcher
from vmsnapshot.backends.vsphere._crowd import Crowd
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


def _crowded(answered: threading.Barrier | None = None) -> tuple[Batcher[int, int], Batcher[int, int]]:
    """Two batchers of one server, each of which two operations have asked together.

    Args:
        answered: Where the answers of both meet, from then on.
    """
    crowd, made_both = Crowd(), False

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        if made_both and answered is not None:
            answered.wait(30)
        return dict.fromkeys(keys, 1)

    def batcher(name: str) -> Batcher[int, int]:
        made: Batcher[int, int] = Batcher(name, answer, crowd, lambda: len(made._waiting) < 2)
        for each in [Doing(partial(made.ask, key, operation())) for key in range(2)]:
            each.result()
        made._more_to_come = None
        assert made._usual == 2
        return made

    both = batcher("reads"), batcher("events")
    made_both = True
    return both


def test_nobody_waits_for_who_waits_at_another_batcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two operations one asks here, one there: each is usually joined by the other, and neither waits."""
    reads, events = _crowded(threading.Barrier(2))
    monkeypatch.setattr(_batcher, "LONGEST", 3600.0)
    monkeypatch.setattr(_batcher, "MOST", 3600.0)
    asking = [Doing(partial(each.ask, 1, operation())) for each in (reads, events)]
    assert [each.result() for each in asking] == [1, 1]


def test_who_asks_two_batchers_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that reads its VM and looks for clones at once isn't taken for two: others may come."""
    reads, events = _crowded()
    monkeypatch.setattr(_batcher, "LONGEST", 3600.0)
    monkeypatch.setattr(_batcher, "MOST", 3600.0)
    one, other = operation(), operation()
    asking = [Doing(partial(each.ask, 1, one)) for each in (reads, events)]
    until(lambda: reads._waiting and events._waiting)
    assert reads._crowd.waiting == 1
    asking += [Doing(partial(each.ask, 2, other)) for each in (reads, events)]
    assert [each.result() for each in asking] == [1] * 4
    assert 2 in [len(each._answered) for each in (reads, events)], "the other one came"
    assert reads._crowd.waiting == 0


def test_who_was_expected_in_vain_is_not_expected_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one of two operations has ended costs one wait, not one at each batcher; until it is back."""
    reads, events = _crowded()
    monkeypatch.setattr(_batcher, "LONGEST", 0.01)
    assert reads.ask(1, operation()) == 1
    monkeypatch.setattr(_batcher, "LONGEST", 3600.0)
    monkeypatch.setattr(_batcher, "MOST", 3600.0)
    assert events.ask(1, operation()) == 1
    events._more_to_come = lambda: len(events._waiting) < 2
    for each in [Doing(partial(events.ask, key, operation())) for key in range(2)]:
        each.result()
    assert events._crowd.size == 2


def test_nobody_waits_longer_than_that_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others who come now and then don't hold a batch up for ever."""
    monkeypatch.setattr(_batcher, "LONGEST", 3600.0)
    monkeypatch.setattr(_batcher, "MOST", 0.01)
    batcher: Batcher[int, int] = Batcher("test", lambda keys: dict.fromkeys(keys, 1), None, lambda: True)
    assert batcher.ask(1, operation()) == 1


def test_the_same_key_is_asked_once() -> None:
    """Several who ask for one thing get one answer."""
    asked: list[int] = []

    def answer(keys: Sequence[int]) -> Mapping[int, int | Exception]:
        asked.extend(keys)
        return dict.fromkeys(keys, 1)

    batcher: Batcher[int, int] = Batcher("test", answer, more_to_come=lambda: len(batcher._waiting) < 5)
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
