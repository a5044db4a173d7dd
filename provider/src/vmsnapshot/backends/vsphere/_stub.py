"""The pool of connections through which pyVmomi calls the server."""

from __future__ import annotations

import functools
import http.client
import threading
import time
from typing import Any, Final
from xml.parsers.expat import ExpatError
from xml.parsers.expat import errors as expat_errors

from pyVmomi import SoapAdapter

from vmsnapshot.backends._calls import logged
from vmsnapshot.backends._silence import SILENT_AFTER, Silence
from vmsnapshot.backends.vsphere import _faults as faults
from vmsnapshot.backends.vsphere._decoding import Decoder
from vmsnapshot.backends.vsphere._endpoint import Endpoint, PinnedConnection
from vmsnapshot.lifecycle.background import in_background

# How many calls a server gets at once, each on a connection of its own, which is kept for the next. Ours: an
# engine on two processors runs 8 operations at once, and a vCenter works on few tasks of a host at once.
AT_ONCE: Final = 12
# What expat says of a document that ends too early.
_CUT_SHORT: Final = {
    expat_errors.codes[expat_errors.XML_ERROR_NO_ELEMENTS],
    expat_errors.codes[expat_errors.XML_ERROR_UNCLOSED_TOKEN],
}

# pyVmomi's adapter is untyped through and through.
_Adapter: Any = SoapAdapter.SoapStubAdapter
_Answer: Any = SoapAdapter.SoapResponseDeserializer


class Stub(_Adapter):  # type: ignore[misc]
    """pyVmomi's connection pool, with failures told apart by whether anything was sent.

    Args:
        endpoint: Where the server is.
        version: The API version to speak.
        timeout: Seconds without an answer until a call counts as broken.
        silence: Is told which calls wait for an answer.
    """

    def __init__(
        self, endpoint: Endpoint, version: str, timeout: float, silence: Silence | None = None
    ) -> None:
        super().__init__(
            host=endpoint.host,
            port=endpoint.port,
            version=version,
            poolSize=AT_ONCE,
            sslContext=endpoint.context,
            httpConnectionTimeout=timeout,
        )
        self.scheme = functools.partial(PinnedConnection, pin=endpoint.pin, proxy=endpoint.proxy)
        self._new_connection = functools.partial(endpoint.connection, timeout)
        self._newest: PinnedConnection | None = None
        # Which connection a thread's call is on.
        self._calls = threading.local()
        self._retired = False
        self._broken = False
        self._silence = silence or Silence("")
        # Pools beside this one to the same server, whose connections are as old.
        self.others: list[Stub] = []
        # The connections on which a call waits for its answer, and since when.
        self._waiting: dict[PinnedConnection, float] = {}

    def GetConnection(self) -> Any:  # noqa: N802 - pyVmomi's signature
        """A connection on which the server has not hung up.

        Raises:
            ConnectFailure: None could be made.
        """
        try:
            while (connection := super().GetConnection()).hung_up:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise faults.ConnectFailure from error
        self._newest = connection
        self._calls.connection = connection
        self._waiting[connection] = time.monotonic()
        if self._broken:
            connection.close()
            raise faults.ConnectFailure
        return connection

    def open_one(self) -> None:
        """Open one more connection, for the next call."""
        connection = self._new_connection()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException):
            connection.close()  # whoever makes a call learns it
        else:
            self.ReturnConnection(connection)

    def open_ahead(self) -> None:
        """The same in the background: the call needn't wait for these two round trips."""
        in_background("connect", self.open_one)

    def ReturnConnection(self, conn: Any) -> None:  # noqa: N802 - pyVmomi's signature
        """Keep a connection for the next call, unless there is to be none."""
        if self._retired:
            conn.close()
        else:
            super().ReturnConnection(conn)
            if self._retired:  # meanwhile
                self.DropConnections()

    def retire(self, *, abort: bool = False) -> None:
        """Keep no connection any more; `abort` also breaks the call under way and refuses others."""
        self._retired = True
        if abort:
            # In this order: a call that doesn't see the one finds itself cut off by the other.
            self._broken = True
            if self._newest is not None:
                self._newest.abort()
        self.DropConnections()

    def InvokeMethod(self, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:  # noqa: N802, N803
        """Make the call.

        Raises:
            Unintelligible: The answer can't be decoded.
            HTTPException: What came is no answer of this method: a page of a proxy, or a body cut short.
        """
        # What belongs to a session has the session's own id in brackets.
        target = mo._moId.partition("[")[0]  # noqa: SLF001 - it has no public name
        with logged(f"{info.wsdlName} {target}") as call:
            try:
                return self._invoke(mo, info, args, outerStub)
            finally:
                connection: PinnedConnection | None = self._calls.connection
                if connection is not None and connection.answer is not None:
                    call.size = connection.answer.size

    def _invoke(self, mo: Any, info: Any, args: Any, outer_stub: Any) -> Any:
        self._calls.connection = None
        try:
            with self._silence.waiting():
                result = super().InvokeMethod(mo, info, args, outer_stub)
        except (*faults.VENDOR,) as error:
            if isinstance(error, TimeoutError):
                self._give_up_the_silent()
            if isinstance(error, ExpatError):
                self._require_answer(info, error)
                raise faults.Unintelligible from error
            raise
        except Exception as error:
            # pyVmomi raises a bare Exception where it can't raise what it has read.
            self._require_answer(info, error)
            raise faults.Unintelligible from error
        finally:
            self._waiting.pop(self._calls.connection, None)
        self._require_answer(info, None)
        return result

    def _give_up_the_silent(self) -> None:
        """Use no connection any more that was open when one fell silent.

        A firewall that has forgotten one connection has forgotten all that were idle as long; each would
        be waited for as long again.
        """
        oldest = time.monotonic() - SILENT_AFTER
        for stub in (self, *self.others):
            for connection, since in list(stub._waiting.items()):  # noqa: SLF001 - a stub, too
                if since < oldest and connection is not self._calls.connection:
                    connection.abort()
            stub.DropConnections()

    def _require_answer(self, info: Any, error: Exception | None) -> None:
        """Go on only if what came is the method's own answer, whole.

        Raises:
            HTTPException: It isn't.
        """
        connection: PinnedConnection | None = self._calls.connection
        answer = None if connection is None else connection.answer
        if answer is None:
            return
        if isinstance(error, ExpatError) and error.code in _CUT_SHORT:
            raise http.client.IncompleteRead(answer.head) from error
        if not answer.is_of(info.wsdlName):
            kind = answer.getheader("Content-Type") or "no content type"
            message = f"HTTP {answer.status} with {kind} is no answer of vSphere to {info.wsdlName}"
            raise http.client.HTTPException(message) from error


class _OurAnswer(_Answer):  # type: ignore[misc]
    """An answer that a stub of ours decodes by `Decoder`; those of anybody else in this process as ever."""

    def __init__(self, stub: Any) -> None:
        super().__init__(stub)
        if isinstance(stub, Stub):
            self.deser = Decoder(stub)

    def Deserialize(self, *arguments: Any) -> Any:  # noqa: N802 - pyVmomi's
        """What an answer is decoded to.

        This, what decodes and its parser hold one another, and what was decoded: unless they let go, each
        answer stays in memory until Python looks for circles.
        """
        decoder = self.deser
        try:
            return super().Deserialize(*arguments)
        finally:
            if isinstance(decoder, Decoder):
                decoder.__dict__.clear()
                self.__dict__.clear()


# The adapter takes its decoder from there; it can't be given another.
SoapAdapter.SoapResponseDeserializer = _OurAnswer  # type: ignore[misc]
