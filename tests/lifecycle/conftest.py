"""Fixtures of tests about one VM, on servers that keep our marks with their tasks in different ways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.simulator import Marks, Simulator, running


@pytest.fixture(params=["suffixed", "none"])
def marks(request: pytest.FixtureRequest) -> Marks:
    """How a server keeps our marks with its tasks."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def vsphere(marks: Marks) -> Iterator[Simulator]:
    """One VM."""
    with running("--names", "web-1", "--task-duration", "5ms") as found:
        found.keep_marks(marks)
        yield found
