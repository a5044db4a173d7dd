"""Whether the API server has been reached, when it was away, and what its failures are for whoever asked."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from typing import Final

import httpx2

from vmsnapshot.backends.vmoperator import _answers as answers
from vmsnapshot.backends.vmoperator import _faults as faults
from vmsnapshot.backends.vmoperator._access import Access
from vmsnapshot.backends.vmoperator._faults import About
from vmsnapshot.backends.vmoperator._objects import Object
from vmsnapshot.lifecycle.errors import Denied, Unreachable, VmsnapshotError
from vmsnapshot.model.values import redact

# Seconds after its return in which a server may deny what it will allow: it reads the roles meanwhile.
_STARTING: Final = 15.0


class Contact:
    """What one login knows of its server.

    Args:
        access: The server.

    Attributes:
        closed: Set when nothing is to be asked any more.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._reached = False
        self._down = -math.inf  # when the server was last seen to be away
        self.closed = threading.Event()

    @property
    def just_back(self) -> bool:
        """Whether the server was away until a moment ago, and may deny what it will allow."""
        return time.monotonic() - self._down < _STARTING

    def require_open(self, about: About) -> None:
        """Go on only if nothing was closed.

        Raises:
            Unreachable: It was.
        """
        if self.closed.is_set():
            raise _ended(about)

    @contextlib.contextmanager
    def translated(self, about: About) -> Iterator[None]:
        """Turn a connection's failures into ours."""
        try:
            yield
        except Denied as error:  # by the credential program
            raise Denied(f"{error.message}", subject=about) from None
        except faults.VENDOR as failure:
            ours = self._concealed(faults.lost(failure, about, self._access.server))
            if isinstance(ours, faults.NotSent) and not self._reached:
                raise faults.NeverReached(ours.message) from None
            self._down = time.monotonic()
            raise ours from None
        except RuntimeError:  # what a client says that was closed since somebody looked
            if not self.closed.is_set():
                raise
            raise _ended(about) from None

    def answer(self, method: str, path: str, response: httpx2.Response, about: About) -> Object:
        """The answer that came with success.

        Raises:
            Foreign: Something else has answered, and the server never has.
            Interrupted: What came is no answer to this, so nobody knows whether it was done.
        """
        found = answers.read(method, path, response)
        if found is None:
            raise self._foreign(response, about)
        self._reached = True
        return found

    def require_stream(self, response: httpx2.Response, about: About) -> None:
        """Go on only if what begins to come can be changes that are watched.

        Raises:
            Foreign: As for `answer`.
            Interrupted: Likewise.
        """
        if not answers.is_stream(response):
            with self.translated(about):
                response.read()
            raise self._foreign(response, about)
        self._reached = True

    def refusal(self, answer: faults.Answer, about: About) -> VmsnapshotError:
        """The error of an answer; a server that just came back may not know yet who may do what."""
        self._reached = True
        error = faults.translate(answer, about)
        if isinstance(error, (Unreachable, faults.Overloaded)):
            self._down = time.monotonic()
        elif isinstance(error, Denied) and self.just_back:
            error = faults.NotYetAllowed(error)
        return self._concealed(error)

    def conceal(self, text: str) -> str:
        """A text without what must be in no message."""
        return redact(text, self._access.secret_words())

    def _foreign(self, response: httpx2.Response, about: About) -> VmsnapshotError:
        told = answers.in_short(response)
        server = self._access.server
        if not self._reached:
            return self._concealed(
                faults.Foreign(f"{server} isn't a Kubernetes API server; it answered {told}.", subject=about)
            )
        self._down = time.monotonic()
        return self._concealed(
            faults.Interrupted(
                f"what came from {server} isn't its answer, so it is not known whether it was done ({told}).",
                subject=about,
            )
        )

    def _concealed(self, error: VmsnapshotError) -> VmsnapshotError:
        error.conceal(self.conceal)
        return error


def _ended(about: About) -> Unreachable:
    return Unreachable("the connection has been closed.", subject=about)
