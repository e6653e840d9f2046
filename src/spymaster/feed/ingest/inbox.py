"""Where the client leaves records: a bounded buffer between its thread and ours."""

from __future__ import annotations

import threading
from collections import deque


class Inbox:
    """A stream for `Live.add_stream`: the client writes record by record, we take runs of them.

    `write` only appends to a list; whoever drives the client calls `delivered` after each piece
    of the connection that it has gone through. That hands the run over, and waits when the
    buffer is full: so the client stops reading, the gateway sending, and nothing is dropped.
    `limit`: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.closed = False
        self.ended = False
        self.error: BaseException | None = None
        self.waiting = 0
        self._limit = limit
        self._run: list[bytes] = []
        self._runs: deque[bytes] = deque()
        self._condition = threading.Condition()
        self.write = self._run.append

    # The client's side

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is kept back."""

    def delivered(self) -> None:
        """Hand over what was written; wait for room."""
        if not self._run:
            return
        run = b"".join(self._run)
        self._run.clear()
        with self._condition:
            self._runs.append(run)
            self.waiting += len(run)
            self._condition.notify_all()
            while self.waiting > self._limit and not self.closed:
                self._condition.wait(1.0)

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come; why, if it is no orderly end. The first call counts."""
        with self._condition:
            if not self.ended:
                self.error, self.ended = error, True
            self._condition.notify_all()

    # Our side

    def take(self, timeout: float, most: int = 2 << 20) -> list[bytes]:
        """What is there, in order, about `most` bytes; [] when nothing came in `timeout` s."""
        with self._condition:
            if not self._runs and not self.ended:
                self._condition.wait(timeout)
            taken: list[bytes] = []
            size = 0
            while self._runs and size < most:
                taken.append(self._runs.popleft())
                size += len(taken[-1])
            if taken and self.waiting > self._limit:
                self._condition.notify_all()
            self.waiting -= size
        return taken

    def close(self) -> None:
        """Whoever waits for room is let go."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()
