"""A session that outlives the process, in the file in which govc and the Terraform provider keep theirs.

The name and the content are govmomi's (session/cache/session.go, vim25/soap/client.go), so that each uses
what another has made. It holds the session's cookie, as good as a password until the session ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any, Final

from pyVmomi import VmomiSupport

from vmsnapshot.backends.vsphere._endpoint import Endpoint

COOKIE: Final = "vmware_soap_session"
_PATH: Final = "/sdk"
# What Go leaves as it is in the user of a URL, beside letters and digits (net/url, shouldEscape).
_UNESCAPED: Final = "-_.~$&+,;="


class SessionFile:
    """The file of one user's session on one server.

    Args:
        endpoint: The server.
        user: The user.
        folder: Where it is; None: as govmomi has it, `$GOVMOMI_HOME/sessions` or `~/.govmomi/sessions`.
    """

    def __init__(self, endpoint: Endpoint, user: str, folder: str | None) -> None:
        self._endpoint = endpoint
        home = os.environ.get("GOVMOMI_HOME") or "~/.govmomi"
        where = Path(folder).expanduser() if folder else Path(home).expanduser() / "sessions"
        name = f"https://{urllib.parse.quote(user, safe=_UNESCAPED)}@{endpoint}{_PATH}"
        name += f"#insecure={str(not endpoint.verify).lower()}"
        self.path = where / hashlib.sha256(name.encode()).hexdigest()

    def cookie(self) -> str | None:
        """The session's cookie as requests carry it; None: there is none that can be read."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))["SoapClient"]["cookies"]
            value = next(str(one["Value"]) for one in found if one["Name"] == COOKIE)
        except (OSError, ValueError, LookupError, TypeError, StopIteration):
            return None
        return f'{COOKIE}="{value.strip(chr(34))}"'

    def save(self, cookie: str, content: Any, version: str) -> None:
        """Write a session down, for this user alone; what can't be written is left out.

        Args:
            cookie: As the server has set it.
            content: The server's ServiceContent.
            version: The API version, such as `vim25/8.0.3.0`.
        """
        value = cookie.partition("=")[2].partition(";")[0].strip().strip('"')
        text = json.dumps(
            {
                "SoapClient": {
                    "cookies": [{"Name": COOKIE, "Value": value, "Quoted": True}],
                    "url": {"Scheme": "https", "Host": str(self._endpoint), "Path": _PATH},
                    "insecure": not self._endpoint.verify,
                    "version": version.rpartition("/")[2],
                },
                "ServiceContent": _json(content),
            }
        )
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made readable for its owner alone, and put in its place whole.
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, delete=False, encoding="utf-8"
            ) as file:
                new = Path(file.name)
                try:
                    file.write(text)
                    file.close()
                    new.replace(self.path)
                except OSError:
                    new.unlink()  # it holds the cookie
                    raise


def _json(value: Any) -> Any:
    """A value of the API as govmomi's JSON has it."""
    if isinstance(value, VmomiSupport.ManagedObject):
        return {"type": value._wsdlName, "value": value._moId}  # noqa: SLF001 - pyVmomi's own way to tell
    if isinstance(value, VmomiSupport.DataObject):
        members = ((one.name, getattr(value, one.name)) for one in value._GetPropertyList())  # noqa: SLF001
        return {name: _json(inner) for name, inner in members if inner is not None}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    return value if isinstance(value, (bool, int)) else str(value)
