"""Where the client leaves records: a bounded buffer between its thread and ours."""

from __future__ import annotations

import threading
from collections import deque


class Inbox:
    """A stream for `Live.add_stream`: takes bytes as they come, and waits when it is full.

    A full buffer stops the client's reading, and so the gateway's sending: nothing is dropped.
    `limit`: records (the client writes them one by one).
    """

    def __init__(self, limit: int) -> None:
        self.closed = False
        self.ended = False
        self.error: BaseException | None = None
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._asleep = False
        self._full = False
        self._condition = threading.Condition()

    # The client's side

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        """Take some bytes. ValueError once it is closed."""
        self._pieces.append(data)
        if self._asleep:
            self._wake()
        if len(self._pieces) >= self._limit:
            self._wait_for_room()
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come; why, if it is no orderly end. The first call counts."""
        with self._condition:
            if not self.ended:
                self.error, self.ended = error, True
            self._condition.notify_all()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _wait_for_room(self) -> None:
        with self._condition:
            self._full = True
            while len(self._pieces) >= self._limit and not self.closed:
                self._condition.wait(1.0)
            self._full = False
        if self.closed:
            raise ValueError("the ingestor has closed its end")

    # Our side

    def take(self, timeout: float, most: int = 32_768) -> list[bytes]:
        """What is there, in order; [] when nothing came in `timeout` s, or nothing more will."""
        if not self._pieces and not self.ended:
            with self._condition:
                self._asleep = True
                if not self._pieces and not self.ended:
                    self._condition.wait(timeout)
                self._asleep = False
        count = min(len(self._pieces), most)
        taken = [self._pieces.popleft() for _ in range(count)]
        if self._full and len(self._pieces) < self._limit:
            self._wake()
        return taken

    def __len__(self) -> int:
        return len(self._pieces)

    def close(self) -> None:
        """Take no more; who waits for room is let go."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()
