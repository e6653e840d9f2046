"""What the ingestor says of itself: a small file per dataset, and a page for whoever watches."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from spymaster.errors import SourceError
from spymaster.feed.ingest.flow import Counts
from spymaster.feed.ingest.recovery import replace_json

STATES = ("starting", "connecting", "live", "waiting", "draining", "stopped", "failed")
FOLDER = "run"


@dataclass
class Told:
    """What one dataset's feed is doing; written by its thread, read by others.

    `arrived`: when its last records came, ns UTC of this machine. `feed_lag_ns`: that less their
    ts_recv.
    """

    dataset: str
    state: str = "starting"
    counts: Counts = field(default_factory=Counts)
    last_ts_recv: int = 0
    arrived: int = 0
    feed_lag_ns: int | None = None
    connections: int = 0
    reconnects: int = 0
    errors: int = 0
    last_error: str | None = None
    open_gap: str | None = None
    waiting_bytes: int = 0


class Status:
    """Writes `{root}/run/ingest-{dataset}.json` anew each time; rates are since the time before."""

    def __init__(self, root: Path, pid: int, told: Sequence[Told]) -> None:
        self._folder, self._pid, self._told = root / FOLDER, pid, told
        self._before = {t.dataset: (0, 0) for t in told}
        self._rates = {t.dataset: 0.0 for t in told}
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, now: int) -> None:
        """`now`: ns UTC."""
        for told in self._told:
            at, records = self._before[told.dataset]
            self._before[told.dataset] = (now, told.counts.records)
            if at:
                seconds = max(now - at, 1) / 1e9
                self._rates[told.dataset] = (told.counts.records - records) / seconds
            name = f"ingest-{told.dataset.lower().replace('.', '-')}.json"
            replace_json(self._folder / name, self.row(told, now))

    def row(self, told: Told, now: int) -> dict[str, Any]:
        """One dataset as the file has it; lags in seconds, null before the first record."""
        seen = told.last_ts_recv > 0
        return {
            "pid": self._pid,
            "dataset": told.dataset,
            "state": told.state,
            "written_at": now,
            "records_per_s": round(self._rates[told.dataset], 1),
            **asdict(told.counts),
            "last_ts_recv": told.last_ts_recv or None,
            "lag_s": (now - told.last_ts_recv) / 1e9 if seen else None,
            "silent_s": (now - told.arrived) / 1e9 if told.arrived else None,
            "feed_lag_s": None if told.feed_lag_ns is None else told.feed_lag_ns / 1e9,
            "connections": told.connections,
            "reconnects": told.reconnects,
            "errors": told.errors,
            "last_error": told.last_error,
            "open_gap": told.open_gap,
            "waiting_bytes": told.waiting_bytes,
        }

    def rows(self, now: int) -> list[dict[str, Any]]:
        return [self.row(told, now) for told in self._told]


class Health:
    """`/healthz`: is it at work; `/readyz`: are all feeds live. JSON; 200 or 503.

    A context manager; listens on `host`:`port` (0: the system chooses, `port` tells).
    """

    def __init__(self, host: str, port: int, rows: Callable[[], list[dict[str, Any]]]) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = _answer(self.path, rows())
                body = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        try:
            self._server = ThreadingHTTPServer((host, port), Page)
        except (OSError, OverflowError) as error:
            raise SourceError(
                f"--health {port}: cannot listen on {host} ({error}); allowed is a free port, or "
                "0 for one that the system chooses."
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="ingest-health", daemon=True
        )

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(path: str, rows: list[dict[str, Any]]) -> tuple[int, Mapping[str, Any]]:
    states = [row["state"] for row in rows]
    asked = {"/healthz": "failed" not in states, "/readyz": set(states) == {"live"}}
    if path not in asked:
        return 404, {"error": f"no {path}; allowed: /healthz, /readyz"}
    good = asked[path]
    return (200 if good else 503), {"ok": good, "feeds": rows}
