"""The stand-in as a process: `python -m devkit.vmoperator --kubeconfig FILE --simulator-url URL`.

The user and password for the simulator are VSPHERE_USER and VSPHERE_PASSWORD. When it works it prints
one line of JSON on stdout, with the URL of its admin endpoint; logs go to stderr. It ends when its
standard input is closed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from devkit.vmoperator.admin import Admin
from devkit.vmoperator.controller import StandIn


@dataclass(frozen=True)
class _Simulator:
    server: str
    user: str
    password: str


def main() -> int:
    """Stand in until standard input is closed."""
    arguments = argparse.ArgumentParser(prog="vm-operator-stand-in", description=__doc__.partition("\n")[0])
    arguments.add_argument("--kubeconfig", type=Path, required=True)
    arguments.add_argument("--simulator-url", required=True)
    arguments.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="NAMESPACE/NAME",
        help="make the object of a VM of the simulator (again and again)",
    )
    options = arguments.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr, level=logging.INFO)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with contextlib.suppress(OSError):  # how ps shows it, where there is /proc
        Path("/proc/self/comm").write_text("vmop-stand-in", encoding="utf-8")
    simulator = _Simulator(
        urllib.parse.urlsplit(options.simulator_url).netloc,
        os.environ["VSPHERE_USER"],
        os.environ["VSPHERE_PASSWORD"],
    )
    with StandIn(options.kubeconfig, simulator) as stand_in, Admin(stand_in) as admin:
        for machine in options.machine:
            namespace, _, name = machine.partition("/")
            stand_in.add_machine(namespace, name)
        print(json.dumps({"stand_in": "vm-operator", "admin": admin.url, "pid": os.getpid()}), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
