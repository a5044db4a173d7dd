"""Runs the plugin for language hosts that start a plugin by its folder."""

import sys

from vmsnapshot.frontends.plugin.__main__ import main

sys.exit(main())
