"""Finished captures go where landed files lie, beside the live feed's way."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from spymaster.errors import LakeError, SpymasterError
from spymaster.feed.capture_name import captured_batch
from spymaster.feed.deliver import deliver
from spymaster.lake.manifest import Manifest
from spymaster.lake.place import fsync
from spymaster.lake.tables import Lake
from spymaster.settings import Settings

log = logging.getLogger(__name__)

Row = dict[str, Any]
#: More refused records than this of one capture are left for history to write down.
MOST_REFUSED = 100_000


class Lander:
    """Packs (zstd), lands and notes captures on a thread of its own, one after the other.

    What a capture's records were refused for goes to bronze.quarantine as history would write it,
    and history finds it there. `landed`: how many. `error`: why the last one could not be landed;
    it stays where it is for the next start.
    """

    def __init__(self, lake: Lake, settings: Settings, now: Callable[[], int]) -> None:
        self.landed = 0
        self.error: SpymasterError | None = None
        self._lake, self._settings, self._now = lake, settings, now
        self._queue: queue.Queue[tuple[Path, list[Row]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="ingest-land", daemon=True)
        self._thread.start()

    def add(self, path: Path, refused: list[Row]) -> None:
        """A capture that is closed and published; `refused`: rows of bronze.quarantine."""
        self._queue.put((path, refused))

    def close(self) -> None:
        """Wait until all are landed. Raises what stopped one of them."""
        self._queue.put(None)
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if self.error is not None:
                continue  # they land in their order: the next start takes them up
            try:
                land_capture(self._lake, self._settings, *job, self._now)
                self.landed += 1
            except (SpymasterError, OSError) as error:
                log.error("%s: not landed yet: %s", job[0], error)
                self.error = (
                    error
                    if isinstance(error, SpymasterError)
                    else LakeError(f"{job[0]}: cannot be landed ({error.strerror or error}).")
                )


def land_capture(
    lake: Lake, settings: Settings, path: Path, refused: list[Row], now: Callable[[], int]
) -> str:
    """Land one capture, once, and remove the open file; returns its place under the root."""
    batch = captured_batch(path)
    rows = Manifest(lake).rows().values()
    landed = next((str(r["path"]) for r in rows if r["batch_id"] == batch), None)
    packed = path.with_name(f"{path.name}.zst")
    if landed is None:
        _pack(path, packed)
        landed = deliver(lake, packed, settings, now()).path
    if len(refused) > MOST_REFUSED:
        log.warning("%s: %d or more refused; hist bronze lists them", landed, len(refused))
    elif refused:
        app = (f"bronze.quarantine/{batch}", 1)
        lake.append_rows("bronze.quarantine", [{**r, "source": landed} for r in refused], app)
    packed.unlink(missing_ok=True)
    path.unlink()
    log.info("%s: landed", landed)
    return landed


def _pack(path: Path, packed: Path) -> None:
    part = packed.with_name(f".{packed.name}.part")
    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    with path.open("rb") as plain, part.open("wb") as out:
        packer.copy_stream(plain, out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(packed)
    fsync(packed.parent)
