"""What a part is, and how it is made once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devkit import places
from devkit.setup.running import SetupError, say


@dataclass(frozen=True)
class Part:
    """One thing that can be set up.

    Attributes:
        name: What it is called on the command line, in the stamp and in the log's name.
        needs: The parts that must be there before.
        inputs: Gives everything that, once changed, makes the part be re-created.
        results: The files that must be there for the part to count as made.
        make: Makes it.
    """

    name: str
    needs: tuple[Part, ...]
    inputs: Callable[[], Iterable[str | Path]]
    results: tuple[Path, ...]
    make: Callable[[], None]
    stamp: Path = field(init=False)

    def __post_init__(self) -> None:
        """Derives where the stamp lies."""
        object.__setattr__(self, "stamp", places.STAMPS / self.name)

    def ready(self) -> bool:
        """Whether the part is there and made from what is there now."""
        try:
            stamped = self.stamp.read_text()
        except FileNotFoundError:
            return False
        return stamped == digest(self.inputs()) and all(result.exists() for result in self.results)

    def prepare(self) -> None:
        """Makes the part and what it needs, unless they are there. The lock must be held."""
        for need in self.needs:
            need.prepare()
        if self.ready():
            return
        (places.LOGS / f"{self.name}.log").unlink(missing_ok=True)
        self.stamp.unlink(missing_ok=True)
        # Read before the work: an edit made meanwhile must lead to another build.
        stamp = digest(self.inputs())
        self.make()
        missing = [result for result in self.results if not result.exists()]
        if missing:
            raise SetupError(f"{self.name} was made, but {missing[0].relative_to(places.ROOT)} isn't there")
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(stamp)


def digest(inputs: Iterable[str | Path]) -> str:
    """Hashes strings as they are, files with name and content, folders with all the files in them."""
    total = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            total.update(f"text {item}\0".encode())
            continue
        for path in _files(item):
            total.update(f"file {path.relative_to(item)} {path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other set-up runs in this folder."""
    places.BUILD.mkdir(exist_ok=True)
    with (places.BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running in this folder; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def everything_ready(parts: Iterable[Part]) -> bool:
    """Whether all parts, and what they need, are there."""
    return all(part.ready() and everything_ready(part.needs) for part in parts)


def main(names: list[str], parts: Mapping[str, Part]) -> int:
    """Sets up the parts named; gives the exit code."""
    unknown = [name for name in names if name not in parts]
    if unknown or not names:
        print(f"usage: python3 -m devkit.setup PART...   parts: {' '.join(parts)}", file=sys.stderr)
        return 2
    wanted = [parts[name] for name in names]
    if everything_ready(wanted):
        return 0
    try:
        with alone():
            for part in wanted:
                part.prepare()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: stopped; the next run continues from here", file=sys.stderr)
        return 130
    return 0
