"""Who logs in to vSphere, by what, and whether the session is kept for later processes."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyVmomi import vim, vmodl

from vmsnapshot.backends.vsphere._endpoint import Endpoint
from vmsnapshot.backends.vsphere._session_file import SessionFile
from vmsnapshot.model.configuration import Configuration


@dataclasses.dataclass(frozen=True)
class Credentials:
    """A user with a password, or a token of Single Sign-On.

    Attributes:
        user: The user.
        password: Their password; it appears in no message.
        token: A SAML bearer token, instead of both; it appears in no message, either.
        session_file: Where the session is kept; None: it ends with the process.
    """

    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    session_file: SessionFile | None = None

    @classmethod
    def of(cls, configuration: Configuration, endpoint: Endpoint) -> Credentials:
        """The credentials of a configuration."""
        user = configuration.user or ""
        kept = SessionFile(endpoint, user, configuration.vim_session_path)
        return cls(
            user=user,
            password=configuration.password or "",
            token=configuration.sso_token,
            session_file=kept if configuration.persist_session else None,
        )

    def open(self, stub: Any, version: str) -> tuple[Any, Any]:
        """Take the kept session up, or log in and keep it; the server's content, and the session."""
        instance = vim.ServiceInstance("ServiceInstance", stub)
        if self.session_file is not None and (cookie := self.session_file.cookie()) is not None:
            stub.cookie = cookie
            content: Any = instance.RetrieveContent()
            if (session := _current(content)) is not None:
                return content, session
            stub.cookie = ""
        content = instance.RetrieveContent()
        session = self._log_in(stub, content.sessionManager)
        if self.session_file is not None:
            self.session_file.save(stub.cookie, content, version)
        return content, session

    def _log_in(self, stub: Any, manager: Any) -> Any:
        if self.token is None:
            return manager.Login(self.user, self.password, "en")
        stub.samlToken = self.token
        try:
            return manager.LoginByToken("en")
        finally:
            stub.samlToken = None


def _current(content: Any) -> Any:
    """The session that the server knows a request by; None: it has ended."""
    try:
        return content.sessionManager.currentSession
    except (vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound):
        return None


def let_go(kept: dict[str, Any]) -> None:
    """Destroy what was made in a session that goes on: it would last as long as that."""
    for item in kept.values():
        destroy = getattr(item, "DestroyView", None) or item.DestroyPropertyCollector
        destroy()
