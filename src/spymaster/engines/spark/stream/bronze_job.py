"""`rt__mbo_raw_to_bronze`: the topic into bronze.stream, each micro-batch one commit, each once."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from spymaster.bus import Bus, open_bus
from spymaster.engines.epoch import EpochLog
from spymaster.engines.lease import Lease, held
from spymaster.engines.spark.kafka_source import offsets_json, source
from spymaster.engines.spark.progress import Progress, Work, exported
from spymaster.engines.spark.stream.epochs import GROUP, Epochs
from spymaster.engines.spark.stream.known import Known
from spymaster.engines.spark.stream.messages import QUARANTINE, STREAM
from spymaster.engines.spark.tables import SparkTables
from spymaster.engines.stream.committer import committed_offsets
from spymaster.engines.stream.intake import check_offsets
from spymaster.engines.stream.live_work import GROUP as LIVE
from spymaster.errors import BusError, LakeError, SpymasterError
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.settings import Settings

log = logging.getLogger(__name__)

#: Seconds between two looks whether it shall end.
_LOOK = 0.25


@dataclass(frozen=True)
class Done:
    """What a run has done."""

    messages: int
    records: int
    refused: int
    epochs: int


class BronzeJob:
    """The job of one root. `now` gives ns UTC.

    `trigger_s`: seconds between micro-batches; `most`: messages of one, at most.
    """

    def __init__(
        self,
        spark: Any,
        settings: Settings,
        now: Callable[[], int] = time.time_ns,
        *,
        trigger_s: float = 1.0,
        most: int = 2_000,
    ) -> None:
        self._spark, self._settings, self._now = spark, settings, now
        self._trigger_s, self._most = trigger_s, most
        self._lake = Lake(settings.root)
        self._epochs: Epochs | None = None
        self._turn, self._stopping = Lock(), False
        self._error: BaseException | None = None
        self._work = Work(0, 0)
        self.progress = Progress(GROUP, lambda: self._work, now)

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        local = self._lake.place.local
        if local is None:
            raise LakeError(
                f"{self._lake.root}: the pipeline {GROUP} keeps its log on a disk that its driver "
                "can lock. Use a folder as root."
            )
        return local / "lake/checkpoints" / GROUP

    def run(self, stop: Event, *, available_now: bool = False) -> Done:
        """Work until `stop` is set; or, `available_now`, until what the topic has is committed.

        BusError, LakeError and SourceError tell what is in the way; nothing is lost by them.
        """
        if self._settings.bus.kind != "kafka":
            raise BusError(
                f'bus: bus.kind is "{self._settings.bus.kind}"; Spark reads Kafka or Event Hubs. '
                'Set bus.kind = "kafka", or run spymaster live.'
            )
        folder = self.folder
        self._lake.check_writable()
        with ExitStack() as stack:
            bus = stack.enter_context(open_bus(self._settings))
            count = bus.partitions(TOPIC)
            lease = stack.enter_context(Lease(self._lake.place, uuid.uuid4().hex, self._now, GROUP))
            lease.swept()
            self._check_alone()
            epochs = EpochLog(folder / "log", lease.check)
            stack.callback(epochs.close)
            tables = SparkTables(self._spark, self._lake)
            for name in (STREAM, QUARANTINE):
                tables.create(name)
            known = self._known(epochs, bus, count)
            self._epochs = Epochs(self._spark, self._lake, self._settings, epochs, known, GROUP)
            stack.enter_context(exported(self._spark, self._settings.root, self.progress))
            self._replay(epochs, bus)
            self._query(bus, stop, folder / "spark" / str(lease.fence), available_now)
            done = self._epochs
            return Done(done.messages, done.records, done.refused, done.e)

    # Beginning

    def _check_alone(self) -> None:
        """One writer of the topic's records: the local stream engine is another."""
        live = committed_offsets(self._lake, STREAM, LIVE)
        if live or held(Path(self._lake.root), LIVE):
            raise LakeError(
                f"{self._lake.root}: spymaster live writes {STREAM} of this root, up to offsets "
                f"{live}; a second writer would bring every record twice. Use another root."
            )

    def _known(self, epochs: EpochLog, bus: Bus, count: int) -> Known:
        """What is known behind the newest state; LakeError where table and state do not meet."""
        state = epochs.state
        recorded = [epoch.e for epoch, _ in epochs.replay() if epoch is not None]
        stands = self._lake.transaction_version(STREAM, f"{GROUP}/{STREAM}") or 0
        begun = state.e if state else 0
        if not begun <= stands <= max([begun, *recorded]):
            raise LakeError(
                f"{STREAM} stands at epoch {stands} of {GROUP}, and {self.folder} at "
                f"{max([begun, *recorded])}: one of them is another's. Bring the folder back that "
                "belongs to the table, or use another root."
            )
        if state is None:
            return Known(bus.begins(TOPIC))
        try:
            known = Known.from_bytes(state.data)
        except (ValueError, KeyError, TypeError) as e:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} is of another version of this "
                f"program ({e!r}). Go on with that one, or use another root."
            ) from None
        if len(known.offsets) != count:
            raise BusError(
                f"{TOPIC}: the topic has {count} partitions, and the state of {self.folder} is of "
                f"{len(known.offsets)}: contracts have moved. Use another root."
            )
        check_offsets(bus, TOPIC, known.offsets, str(self.folder), "use another root")
        return known

    def _replay(self, epochs: EpochLog, bus: Bus) -> None:
        """Repeat what was written down behind the state: the very same messages."""
        assert self._epochs is not None
        self.progress.state = "replaying"
        for epoch, intents in list(epochs.replay()):
            for intent in intents:
                ends = dict(self._epochs.known.offsets)
                ends |= {p: end for p, (_, end) in intent.ranges.items()}
                frame = source(
                    self._spark.read,
                    self._settings.bus.kafka,
                    TOPIC,
                    {
                        "startingOffsets": offsets_json(TOPIC, self._epochs.known.offsets),
                        "endingOffsets": offsets_json(TOPIC, ends),
                    },
                )
                self._epochs.take(frame, intent, epoch.e if epoch else None)
        self._report(bus)

    # Working

    def _query(self, bus: Bus, stop: Event, folder: Path, available_now: bool) -> None:
        """Run the query from where the log stands. Its own checkpoint is of this run only."""
        assert self._epochs is not None
        shutil.rmtree(folder.parent, ignore_errors=True)
        how = {
            "startingOffsets": offsets_json(TOPIC, self._epochs.known.offsets),
            "maxOffsetsPerTrigger": str(self._most),
            "failOnDataLoss": "true",
        }
        frame = source(self._spark.readStream, self._settings.bus.kafka, TOPIC, how)
        trigger: dict[str, Any] = {"processingTime": f"{self._trigger_s} seconds"}
        writer = (
            frame.writeStream.queryName(GROUP)
            .option("checkpointLocation", folder.as_uri())
            .trigger(**({"availableNow": True} if available_now else trigger))
            .foreachBatch(lambda rows, _: self._take(rows, bus))
        )
        query = writer.start()
        self.progress.state = "live"
        try:
            while not query.awaitTermination(_LOOK) and not stop.is_set():
                pass
            self.progress.state = "draining"
        except Exception as e:
            raise self._told(e) from None
        finally:
            with self._turn:  # a micro-batch that has begun is committed
                self._stopping = True
            query.stop()

    def _take(self, rows: Any, bus: Bus) -> None:
        """What Spark calls with each micro-batch."""
        assert self._epochs is not None
        with self._turn:
            if self._stopping:
                return
            try:
                if self._epochs.take(rows):
                    self._report(bus)
            except BaseException as e:
                self._error = e
                self._stopping = True
                raise

    def _report(self, bus: Bus) -> None:
        assert self._epochs is not None
        self._note()
        bus.report(GROUP, TOPIC, self._epochs.known.offsets)

    def _told(self, error: Exception) -> BaseException:
        """What ended the query, without Spark's own words around it."""
        if self._error is not None:
            return self._error
        if isinstance(error, SpymasterError):
            return error
        said = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        return BusError(
            f"{TOPIC} on {self._settings.bus.kafka.servers}: the query ended: {said[:500]} Nothing "
            "is lost: start again when the cause is away."
        )

    def _note(self) -> None:
        """How far it is, for the status file."""
        assert self._epochs is not None
        done = self._epochs
        repeated, late = done.known.feed["counts"]
        self._work = Work(
            rows=done.records,
            epoch=done.e,
            mark=min(done.known.marks.values(), default=None),
            last_ts_recv=max(done.known.feed["last"].values(), default=None),
            detail=f"{done.refused} refused, {repeated} repeated, {late} late",
        )
