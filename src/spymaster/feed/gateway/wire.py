"""One client's connection: lines in, bytes out, and every way to end it."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import time
from collections import deque
from typing import Any

import zstandard

_LONGEST_LINE = 1 << 20
_IN, _OUT = select.POLLIN, select.POLLOUT
_PARTING_S = 5.0


class ClientGone(Exception):
    """The client has closed, or lost, the connection."""


class Stopping(Exception):
    """The gateway ends."""


class Wire:
    """A socket that is read and written in one thread, and woken when the gateway ends.

    `lines`: what has come and was not looked at yet. Waiting, reading and writing raise
    ClientGone and Stopping. `stop` is a file descriptor that is readable from then on.
    """

    def __init__(self, sock: socket.socket, stop: int) -> None:
        self.lines: deque[str] = deque()
        self.sent_ns = time.monotonic_ns()
        self._sock, self._stop, self._heard = sock, stop, b""
        self._packer: Any = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pack(self) -> None:
        """From here on all bytes are one zstd stream."""
        self._packer = zstandard.ZstdCompressor(level=1).compressobj()

    def write(self, data: bytes | memoryview) -> None:
        """Send all of it; takes lines meanwhile."""
        if self._packer is not None:
            whole = self._packer.compress(data)
            data = whole + self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        self._send(data)
        self.sent_ns = time.monotonic_ns()

    def wait(self, timeout_ns: int | None = None) -> None:
        """Until a line has come, or the time is over."""
        timeout = None if timeout_ns is None else -(-timeout_ns // 1_000_000)
        if not self.lines:
            self._poll(_IN, timeout)

    def finish(self) -> None:
        """An orderly end: what was sent arrives, and no reset can overtake it."""
        try:
            if self._packer is not None:
                self._sock.setblocking(True)
                self._sock.settimeout(_PARTING_S)
                self._sock.sendall(self._packer.flush())
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(_PARTING_S)
            while self._sock.recv(4096):
                pass
        except OSError:
            pass
        self._sock.close()

    def reset(self) -> None:
        """A reset (RST), after all that was sent has reached the client's machine."""
        end = time.monotonic() + _PARTING_S
        queued = b"\0\0\0\0"
        while time.monotonic() < end:
            queued = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            if not struct.unpack("i", queued)[0]:
                break
            self._poll(_IN, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._poll(_IN, 0)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._poll(_IN | _OUT, None)
            except OSError as error:
                raise ClientGone(str(error)) from None

    def _poll(self, events: int, timeout_ms: int | None) -> None:
        poll = select.poll()
        poll.register(self._sock, events)
        poll.register(self._stop, _IN)
        for fd, event in poll.poll(timeout_ms):
            if fd == self._stop:
                raise Stopping
            if event & ~_OUT:
                self._receive()

    def _receive(self) -> None:
        try:
            heard = self._sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            raise ClientGone(str(error)) from None
        if not heard:
            raise ClientGone("closed by the client")
        *whole, self._heard = (self._heard + heard).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in whole]
        if len(self._heard) > _LONGEST_LINE:
            raise ClientGone(f"a line of more than {_LONGEST_LINE:,} bytes")
