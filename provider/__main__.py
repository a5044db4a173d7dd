"""Runs the plugin for language hosts that start a plugin by its folder."""

import sys

from vmsnapshot.fronts.plugin.__main__ import main

sys.exit(main())
