"""Reports all snapshots: Markdown as the output `readme`, and a page with pictures as the output `page`."""

import pulumi
import pulumi_vmsnapshot as vmsnapshot
from report_fleet import Limits
from report_markdown import markdown
from report_page import page

config = pulumi.Config()
limits = Limits(
    old_days=config.require_int("oldDays"),
    large_gib=config.require_int("largeGiB"),
    deep_levels=config.require_int("deepLevels"),
)

# No filter: what is old or large is decided here, and each VM's whole tree is drawn.
fleet = vmsnapshot.get_snapshot_inventory(folder=config.get("folder") or None, sort_by="vm")

# Pulumi Cloud shows an output of this name as the stack's README.
pulumi.export("readme", markdown(fleet, limits))
pulumi.export("page", page(fleet, limits))
