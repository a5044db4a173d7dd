"""Models of tasks that a platform runs, or remembers, on a VM."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated

from vmsnapshot.model._base import Model, Property


class RunningTask(Model):
    """A task that the platform is running on a VM."""

    id: Annotated[str, Property("The task's identifier.")]
    operation: Annotated[str, Property("The platform's name of what it does.")]


@dataclasses.dataclass(frozen=True)
class AskedTask:
    """A request that the platform has taken.

    Attributes:
        task: The task that it does it by.
        at: When that was, by the server's clock.
        completed: When the task was seen to end well, by the same; None: it was not seen.
        announced: Whether the platform had taken a record before that says that the request begins.
    """

    task: str
    at: dt.datetime
    completed: dt.datetime | None = None
    announced: bool = False


class PastRevert(Model):
    """How long an earlier revert took, from the platform's task history."""

    seconds: Annotated[
        float, Property("Seconds that the platform worked on it, from the task's start to its end.")
    ]
    ended_at: Annotated[str, Property("When it ended (RFC 3339, UTC).")]


class PastTask(Model):
    """A task of this provider that the platform still remembers."""

    id: Annotated[str, Property("The task's identifier.")]
    running: Annotated[bool, Property("Whether it is still running or queued.")]
    succeeded: Annotated[bool, Property("Whether it ended well.")]
    completed: Annotated[dt.datetime | None, Property("When it ended (UTC).")] = None
    latest: Annotated[
        bool,
        Property(
            "Whether no other task that changes the VM's state (snapshots, power, hardware) has run "
            "on it since, but what was done as a part of the same request."
        ),
    ] = True
    by_time: Annotated[
        bool,
        Property(
            "Whether it is taken for the request's because of its time alone: the platform keeps no mark "
            "of the request with it."
        ),
    ] = False
    by_us: Annotated[
        bool | None,
        Property("Whether this user has started it; null: not known."),
    ] = None
    reverted_to: Annotated[
        str | None,
        Property("The name of the snapshot that it reverted to, as an event tells; null: not known."),
    ] = None
    uncertain: Annotated[
        bool,
        Property(
            "Whether the platform doesn't show what became of it (VM Operator): if `running`, it may still "
            "be under way; else it was done or not."
        ),
    ] = False
    noted: Annotated[
        bool,
        Property("Whether only a note of this machine tells of it: the platform no longer does."),
    ] = False
    out_of_sight: Annotated[
        bool,
        Property(
            "Whether it failed because the platform could no longer see what the VM's host did: that may "
            "have done it all the same."
        ),
    ] = False
