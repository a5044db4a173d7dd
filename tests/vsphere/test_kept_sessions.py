"""A session that is kept for the next command, shared with govc, and a login by a token (SSO)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devkit.places import BINARIES
from tests.support.in_process import mini_stack
from tests.support.simulator import Simulator
from tests.support.vsphere import operation
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.backends.vsphere._session_file import SessionFile
from vmsnapshot.lifecycle.errors import Denied
from vmsnapshot.lifecycle.port import VMReference

TOKEN = (
    '<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:Subject>'
    "<saml2:NameID>user</saml2:NameID></saml2:Subject></saml2:Assertion>"
)


def look(backend: VsphereBackend) -> str:
    """Something that needs a login."""
    return backend.find(VMReference("web-1"), operation("looking")).identity.name


def logins(simulator: Simulator) -> int:
    """How often somebody has logged in since then."""
    return simulator.calls().get("Login", 0)


def files(folder: Path) -> list[Path]:
    """The files of sessions there."""
    return list(folder.iterdir()) if folder.exists() else []


def test_nothing_is_kept_unless_asked(
    simulator: Simulator, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process logs in and out, and writes no file."""
    monkeypatch.setenv("GOVMOMI_HOME", str(tmp_path))
    for _ in range(2):
        backend = connect(simulator)
        look(backend)
        backend.close()
    assert logins(simulator) == simulator.calls().get("Logout", 0) == 2
    assert not files(tmp_path)


def test_the_next_process_goes_on_with_the_session(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    """One login; the file is for its owner alone; what the process made on the server is gone."""
    kept: dict[str, Any] = {"persist_session": True, "vim_session_path": str(tmp_path)}
    for _ in range(3):
        backend = connect(simulator, **kept)
        assert look(backend) == "web-1"
        backend.close()
    assert (logins(simulator), simulator.calls().get("Logout", 0)) == (1, 0)
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert simulator.password not in file.read_text()
    backend = connect(simulator, **kept)
    views = backend._connection.login().content.viewManager.viewList
    assert not views


def test_a_session_that_has_ended_is_made_anew(
    simulator: Simulator, connect: Connect, tmp_path: Path
) -> None:
    """Ended by the server or unreadable: there is another login, and the file has that one."""
    kept: dict[str, Any] = {"persist_session": True, "vim_session_path": str(tmp_path)}
    look(connect(simulator, **kept))
    (file,) = files(tmp_path)
    first = file.read_text()
    simulator.expire_sessions()
    look(connect(simulator, **kept))
    second = file.read_text()
    assert second != first
    file.write_text("no JSON")
    look(connect(simulator, **kept))
    assert logins(simulator) == 3
    backend = connect(simulator, **kept)
    look(backend)
    simulator.expire_sessions()
    assert look(backend) == "web-1"
    assert logins(simulator) == 4


def test_another_user_has_another_file(simulator: Simulator, connect: Connect, tmp_path: Path) -> None:
    """A kept session is of one user on one server: a wrong password of another helps nobody in."""
    kept: dict[str, Any] = {"persist_session": True, "vim_session_path": str(tmp_path)}
    look(connect(simulator, **kept))
    with pytest.raises(Denied):
        look(connect(simulator, user="somebody", password="wrong", **kept))
    assert len(files(tmp_path)) == 1


def govc(simulator: Simulator, home: Path, *arguments: str, password: str = "") -> str:
    """A command of govc."""
    login = f"{simulator.user}:{password}" if password else simulator.user
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GOVMOMI_HOME": str(home),
        "GOVC_URL": f"https://{login}@{simulator.server}/sdk",
        "GOVC_INSECURE": "true",
    }
    done = subprocess.run(
        [str(BINARIES / "govc"), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_govc_and_we_share_a_session(simulator: Simulator, connect: Connect, tmp_path: Path) -> None:
    """Each goes on with what the other has made: with one login, neither needs the password again."""
    kept: dict[str, Any] = {
        "persist_session": True,
        "vim_session_path": str(tmp_path / "sessions"),
        "thumbprint": None,
        "allow_unverified_ssl": True,
    }
    look(connect(simulator, **kept))
    assert json.loads(govc(simulator, tmp_path, "about", "-json"))["about"]["apiVersion"] == "8.0.3.0"
    assert logins(simulator) == 1
    for file in files(tmp_path / "sessions"):
        file.unlink()
    govc(simulator, tmp_path, "vm.info", "web-1", password=simulator.password)
    assert logins(simulator) == 2
    look(connect(simulator, password="unknown", **kept))
    assert logins(simulator) == 2


def test_a_token_logs_in(simulator: Simulator, connect: Connect) -> None:
    """Instead of user and password, of which none is sent; and it is in no message."""
    backend = connect(simulator, user=None, password=None, sso_token=TOKEN)
    assert look(backend) == "web-1"
    assert (logins(simulator), simulator.calls()["LoginByToken"]) == (0, 1)
    with pytest.raises(Denied) as refused:
        look(connect(simulator, user=None, password=None, sso_token="<a><b>secret-token</b></a>"))
    assert "secret-token" not in str(refused.value)


def test_nothing_of_it_is_in_state(simulator: Simulator, tmp_path: Path) -> None:
    """A stack's whole life with a kept session: neither inputs nor outputs hold the cookie."""
    stack = mini_stack({**simulator.settings, "persistSession": True, "vimSessionPath": str(tmp_path)})
    asked = {"vmName": "web-1", "name": "base"}
    stack.write(
        base={"type": "vmsnapshot:VirtualMachineSnapshot", "properties": asked},
        it={"type": "vmsnapshot:VirtualMachineRevert", "properties": {"vmName": "web-1", "snapshot": "."}},
    )
    stack.up().check()
    (file,) = files(tmp_path)
    cookie = json.loads(file.read_text())["SoapClient"]["cookies"][0]["Value"]
    assert len(cookie) > 20
    assert cookie not in repr(stack.entries)
    stack.destroy().check()


def test_a_session_that_cannot_be_kept_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written by then holds the cookie, too."""

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    file = SessionFile(Endpoint("vcenter.example", 443), "ann", str(tmp_path))
    monkeypatch.setattr(Path, "replace", full)
    file.save("vmware_soap_session=s3cret", "content", "vim25/8.0.3.0")
    assert list(tmp_path.iterdir()) == []
