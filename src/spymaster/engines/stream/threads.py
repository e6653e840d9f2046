"""Several loops at work at once, each in a thread of its own with a status file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from spymaster.engines.stream.report import StatusFile


class Loop(Protocol):
    """What works until it is asked to end."""

    @property
    def group(self) -> str:
        """Its pipeline."""

    @property
    def status_file(self) -> str:
        """The name of its status file."""

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one loop of its pipeline."""

    def status(self) -> dict[str, Any]:
        """How it is."""

    def run(self, stop: Event, drain: Event) -> object:
        """Work until `stop`, or until `drain` and all is done."""


L = TypeVar("L", bound=Loop)


class Threads(Generic[L]):
    """Loops of a root. As a context manager it ends them and lets go of what `stack` holds."""

    def __init__(self, root: str, loops: Sequence[L], stack: ExitStack) -> None:
        self.loops, self._root, self._stack = loops, root, stack
        self._stop, self._drain = Event(), Event()
        self._errors: list[BaseException] = []
        self._failed: Callable[[BaseException], object] = lambda error: None
        self._threads = [
            Thread(target=self._run, args=(loop,), name=loop.group, daemon=True) for loop in loops
        ]

    def start(self, failed: Callable[[BaseException], object] = lambda error: None) -> None:
        """Begin; `failed` hears, on its thread, of a loop that cannot go on. The others do."""
        self._failed = failed
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every loop to commit and end."""
        self._stop.set()

    def drain(self) -> None:
        """Ask every loop to do what is there, and end."""
        self._drain.set()

    def join(self) -> None:
        """Return when every loop has ended; raises what ended one of them."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.1)  # a signal must be heard meanwhile
        if self._errors:
            raise self._errors[0]

    def told(self) -> list[dict[str, Any]]:
        """How each loop is."""
        return [{"pipeline": loop.group, **loop.status()} for loop in self.loops]

    def _run(self, loop: L) -> None:
        try:
            with StatusFile(
                self._root, loop.status_file, loop.status, lambda: loop.holds_lease, loop.group
            ):
                loop.run(self._stop, self._drain)
        except BaseException as error:
            self._errors.append(error)
            self._failed(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._stack.close()
