"""Work on a thread of its own: Parquet is written while the next records are decoded."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from typing import Any

#: Pieces of work that may wait: what bounds the memory between two threads.
DEPTH = 2


class Background:
    """Calls in the order given, one after the other, at most `DEPTH` of them waiting.

    An exception of a call is raised by the next `submit` or by `wait`; later calls are not made.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: Queue[tuple[Callable[..., None], tuple[Any, ...]] | None] = Queue(DEPTH)
        self._error: BaseException | None = None
        self._thread: Thread | None = None

    def submit(self, call: Callable[..., None], *given: Any) -> None:
        """Have `call(*given)` made; waits while enough is waiting."""
        self._raise()
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put((call, given))

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            call, given = work
            if self._error is None:
                try:
                    call(*given)
                except BaseException as error:
                    self._error = error
            del work, call, given

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            self.stop()
            raise error

    def wait(self) -> None:
        """All calls are made when this returns; raises what one of them raised."""
        self.stop()
        self._raise()

    def stop(self) -> None:
        """End the thread after what was given, raising nothing."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
