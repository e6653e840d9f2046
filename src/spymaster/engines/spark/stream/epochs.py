"""The bronze job's commits: each micro-batch an epoch, written down before any table hears of it.

What Spark calls a batch is never asked: offsets and epochs of our own log are the truth, so that a
batch that comes again, whole or in part, brings only what is new.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from spymaster.engines.epoch import EpochLog, Intent, State
from spymaster.engines.spark.stream.batch import MicroBatch
from spymaster.engines.spark.stream.controls import Controls
from spymaster.engines.spark.stream.known import Known, News
from spymaster.engines.spark.stream.messages import QUARANTINE, STREAM
from spymaster.engines.spark.tables import SparkTables
from spymaster.errors import LakeError, SourceError
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings

log = logging.getLogger(__name__)

GROUP = "rt__mbo_raw_to_bronze"
Row = dict[str, Any]


class Epochs:
    """Takes frames of messages in the topic's order; each is one commit to bronze.stream.

    `app`: the application of its transactions.
    """

    def __init__(
        self,
        spark: Any,
        lake: Lake,
        settings: Settings,
        epochs: EpochLog,
        known: Known,
        app: str,
    ) -> None:
        self.known, self.records, self.messages, self.refused = known, 0, 0, 0
        self.e = epochs.state.e if epochs.state else 0  #: the last epoch that is in the tables
        self._spark, self._lake, self._settings = spark, lake, settings
        self._log, self._app = epochs, app
        self._tables = SparkTables(spark, lake)
        self._told: Any = None  # the contracts, on their way to every worker
        self._told_of = -1

    def take(self, frame: Any, again: Intent | None = None, e: int | None = None) -> bool:
        """Commit what a frame brings that is new; False where nothing is.

        again, e: the intent and the epoch that the frame was written down as before.
        """
        batch, facts = self._read(frame)
        with batch:
            if not facts:
                return False
            news = self.known.take(facts)
            if again is not None and again.ranges != news.ranges:
                raise SourceError(
                    f"the topic's messages {again.ranges} were written down and {news.ranges} "
                    "came. Was the topic made anew? Bring it back, or go on in another root."
                )
            controls = Controls(self.known, news, self._settings.underlier)
            intent = again or self._log.intent(news.ranges, {}, for_good=False)
            e = e or self.e + 1
            self._log.epoch(e, intent.n, intent.n)
            self._log.check()
            if news.refused:
                self._append(QUARANTINE, batch.refused(), e, None)
            rows = batch.rows(controls.pieces())
            self._append(STREAM, rows, e, self._info(e, news))
            self.known.over(controls.marked)
        self._log.save(State(e, intent.n, {"offsets": self.known.offsets}, self.known.to_bytes()))
        self.e = e
        self.records += news.records
        self.messages += news.messages
        self.refused += news.refused
        return True

    def _read(self, frame: Any) -> tuple[MicroBatch, list[Row]]:
        """The frame's facts; contracts that no message told are looked up, and it is read again."""
        found: dict[str, Row] = {}
        while True:
            batch = MicroBatch(
                frame, self._state(), self.known.offsets, self._settings.underlier, found
            )
            try:
                facts = batch.facts()
                unknown = {k: where for told in facts for k, where in told["unknown"].items()}
                if not unknown:
                    return batch, facts
                found |= self._look_up(unknown, facts)
            except BaseException:
                with batch:
                    raise
            with batch:
                pass

    def _state(self) -> Any:
        """What a task begins with; the contracts travel once, not with each micro-batch."""
        rows = self.known.feed["contracts"]
        if self._told_of != len(rows):
            if self._told is not None:
                self._told.unpersist()
            self._told, self._told_of = self._spark.sparkContext.broadcast(list(rows)), len(rows)
        told = self._told
        small = {k: v for k, v in self.known.feed.items() if k != "contracts"}
        small = json.loads(json.dumps(small))
        return lambda: {**small, "contracts": told.value}

    def _look_up(self, unknown: Mapping[str, str], facts: list[Row]) -> dict[str, Row]:
        """Contracts that another partition tells, or bronze.definitions; SourceError for one that
        nobody does.
        """
        elsewhere = {
            row["contract_id"]: row for told in facts for row in told["feed"]["contracts"]
            if row["underlier"]
        }  # fmt: skip
        found: dict[str, Row] = {}
        for name, where in unknown.items():
            row = elsewhere.get(name) or self._definition(name)
            if row is None:
                raise SourceError(
                    f"{where}: contract {name} was never told, neither by the topic nor by "
                    "bronze.definitions. Land its definitions and start again."
                )
            found[name] = row
        return found

    def _definition(self, name: str) -> Row | None:
        rows = self._lake.scan(
            "bronze.definitions", filters={"contract_id": name}, missing_ok=True
        ).to_pylist()
        known = Instruments(Instrument.from_row(r) for r in rows).by_contract().get(name)
        return None if known is None else known.to_row()

    def _append(self, name: str, rows: Any, e: int, info: Row | None) -> None:
        """One commit, once: a table that has the epoch already takes nothing."""
        app = f"{self._app}/{name}"
        stored = self._lake.transaction_version(name, app) or 0
        if info is not None and stored < e - 1:
            raise LakeError(
                f"{name}: {app} stands at epoch {stored}, and epoch {e} was offered. The table or "
                "the checkpoint is another than before: bring it back."
            )
        try:
            self._tables.append(name, rows, (app, e), info)
        except Exception:
            # A driver that died may have left a JVM that finishes its commit: it is the same one.
            if (self._lake.transaction_version(name, app) or 0) < e:
                raise
            log.warning("%s: epoch %d was committed by the process before", name, e)

    def _info(self, e: int, news: News) -> Row:
        """What a commit says of itself, for whoever follows the table."""
        offsets, marks, feed = self.known.offsets, self.known.marks, self.known.feed
        begins = {p: news.ranges[p][0] if p in news.ranges else o for p, o in offsets.items()}
        venues = {}
        for venue in sorted({*feed["since"], *news.spans, *marks}):
            low, high = news.spans.get(venue, (None, None))
            venues[venue] = {
                "low": low,
                "high": high,
                "since": feed["since"].get(venue, low),
                "with_book": feed["with_book"].get(venue, False),
                "mark": marks.get(venue),
            }
        return {
            "group": GROUP,
            "epoch": e,
            "offsets": {str(p): o for p, o in offsets.items()},
            "begins": {str(p): o for p, o in begins.items()},
            "venues": venues,
            "gaps": [
                {k: gap[k] for k in ("venue", "from_ts", "to_ts", "reason")} | {"partition": p}
                for p, _, gap in news.gaps
            ],
            "contracts": news.contracts,
        }
