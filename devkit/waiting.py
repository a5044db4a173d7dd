"""Waiting for a condition, never for a time; and how much time is enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float = 30) -> T:
    """Wait until a condition holds; its value.

    Args:
        condition: Asked again and again; holds when its value is true.
        seconds: When to give up, with an assertion error. Far longer than it should ever take.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s: {condition}"
        time.sleep(0.02)
    return value


def plenty(work: Callable[[], object], *, least: float) -> float:
    """Do something; the seconds in which the like is done even if the machine grows far busier than now.

    For what must end because its time is over, with everything done but what never will be.

    Args:
        work: What is timed.
        least: No fewer seconds than this.
    """
    began = time.monotonic()
    work()
    return max(least, 3 * (time.monotonic() - began))
