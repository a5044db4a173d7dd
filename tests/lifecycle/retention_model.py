"""Retention said once more: the reference that the real one is compared with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from vmsnapshot.lifecycle.checkpoint.retention import Held, Rules


def stays(held: Sequence[Held], rules: Rules, moment: dt.datetime) -> set[str]:
    """What stays, said once more and as plainly as possible: each checkpoint asked for itself."""
    kept = set()
    for one in held:
        newer = [item for item in held if (item.taken_at, item.label) > (one.taken_at, one.label)]
        rivals = [item for item in newer if item.complete and item.label not in rules.pinned]
        whole = [item for item in held if item.complete] or held
        is_newest = one in whole and not any(item in whole for item in newer)
        young = rules.max_age is None or moment - one.taken_at <= rules.max_age
        few = rules.keep_last is None or len(rivals) < rules.keep_last
        if one.label in rules.pinned or is_newest or (young and few):
            kept.add(one.label)
    return kept
