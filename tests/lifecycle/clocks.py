"""Lets time pass for a test: what is old is so by the server's clock and by this machine's."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.common import observed


def set_clocks(vsphere: Simulator, monkeypatch: pytest.MonkeyPatch, ahead: dt.timedelta) -> None:
    """Put both clocks before (or, below 0, behind) the true time."""
    vsphere.set_clock(ahead)
    monkeypatch.setattr(observed, "now", lambda: dt.datetime.now(dt.UTC) + ahead)
