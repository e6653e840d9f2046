"""`rt__bronze_to_silver` and `rt__silver_to_gold`: bronze.stream into the tables of sessions."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from spymaster.contracts.stream import SUFFIX
from spymaster.engines.lease import Lease
from spymaster.engines.session_run import TABLES
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.stream import chunks
from spymaster.engines.spark.stream.commits import STREAM, StreamLog
from spymaster.engines.spark.stream.lineage import lineage_row
from spymaster.engines.spark.stream.openings import Ended, Openings
from spymaster.engines.spark.stream.parts import PIECES, Heard, commit_parts, parts_task
from spymaster.engines.spark.stream.turns import QUERY, Intent, State, TurnLog, folder, write
from spymaster.engines.spark.stream_rows import COLUMNS
from spymaster.errors import LakeError, SessionError
from spymaster.lake import Lake
from spymaster.lake.sweep import sweep
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows

log = logging.getLogger(__name__)

LINEAGE = "lineage" + SUFFIX
SILVER, GOLD = "rt__bronze_to_silver", "rt__silver_to_gold"
_STORE = "spark.sql.streaming.stateStore"
_CONF = {
    f"{_STORE}.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    # A commit writes what has changed, not the whole store.
    f"{_STORE}.rocksdb.changelogCheckpointing.enabled": "true",
}
#: More files than a commit has: a commit is never cut.
_ALL = str(2**31 - 1)
#: Spark waits ten seconds for its Python processes; a machine under load may need more.
_SLOW_START, _STARTS = "Python worker failed to connect back", 5
#: Seconds between two looks whether it shall end.
_LOOK = 0.25


@dataclass
class Done:
    """What a run has done."""

    epochs: int = 0
    rows: int = 0
    repeated: int = 0
    late: int = 0
    sessions_ended: list[str] = field(default_factory=list)


class SilverJob:
    """One streaming job of a root, which makes `layers` of what bronze.stream brings.

    `state`: "transform" or "apply", the interface to Spark's store. `trigger_s`: seconds between
    micro-batches. `now` gives ns UTC.
    """

    def __init__(
        self,
        spark: Any,
        settings: Settings,
        layers: Sequence[str],
        now: Callable[[], int],
        *,
        state: str = "transform",
        trigger_s: float = 1.0,
    ) -> None:
        self.name = SILVER if "silver" in layers else GOLD
        self.done = Done()
        self._spark, self._settings, self._now = spark, settings, now
        self._layers, self._interface, self._trigger_s = tuple(layers), state, trigger_s
        self._run_id = uuid.uuid4().hex
        self._lake = Lake(settings.root)
        self._tables = [
            name + SUFFIX
            for layer in layers
            for name in TABLES[layer]
            if name + SUFFIX in self._lake.tables
        ]
        self.reached = -1  #: the version of bronze.stream that is in the tables
        self.idle = True  #: no contract is to be called whose session is open
        self._error: BaseException | None = None
        self._specs: set[str] = set()

    def run(self, stop: Event, *, available_now: bool = False) -> Done:
        """Work until `stop` is set; or, `available_now`, until all that is there is committed."""
        self._lake.check_writable()
        for name in (STREAM, *self._tables, LINEAGE):
            self._lake.create(name)
        for key, value in _CONF.items():
            self._spark.conf.set(key, value)
        with ExitStack() as stack:
            lease = stack.enter_context(Lease(self._lake.place, self._run_id, self._now, self.name))
            sweep(self._lake, lease.unfinished, self._tables, loose=False)
            lease.swept()
            self._check = lease.check
            self._log = TurnLog(self._lake.place, self.name, lease.check)
            self._begin()
            while True:
                self._query(stop, available_now)
                if stop.is_set() or not available_now or not self._openings.callers:
                    return self.done

    def _begin(self) -> None:
        """Go on behind the newest state; without one, at the oldest commit that the log tells."""
        self._openings = Openings(self._settings, self._lake)
        self._lake.place.make_folder(self._calls)
        state = self._log.state()
        if state is None:
            start = StreamLog(self._lake).oldest()
            self._openings.read = self._openings.reached = start - 1
            state = State(0, "", -1, start, self._openings.to_json())
            self._log.write_state(state)
        self._state = state
        self._openings.restore(state.openings)
        self._call()

    @property
    def _calls(self) -> str:
        """Where contracts are called whose rows wait and that have no new ones."""
        return f"{folder(self.name)}/calls"

    # The query

    def _query(self, stop: Event, available_now: bool) -> None:
        """Run Spark's query to its end; begin again where a Python worker came up too slowly."""
        for attempt in range(_STARTS):
            try:
                self._run_query(stop, available_now)
                return
            except Exception as error:
                slow = self._error is None and _SLOW_START in str(error)
                if not slow or attempt == _STARTS - 1:
                    raise self._plain(error) from error
                log.warning("%s: a Python worker did not come up in time; once more", self.name)

    def _run_query(self, stop: Event, available_now: bool) -> None:
        checkpoint = self._lake.place.uri(f"{folder(self.name)}/spark")
        trigger: dict[str, Any] = {"processingTime": f"{self._trigger_s} seconds"}
        query = (
            self._pieces()
            .writeStream.queryName(self.name)
            .option("checkpointLocation", checkpoint)
            .trigger(**({"availableNow": True} if available_now else trigger))
            .outputMode("append")
            .foreachBatch(self._take)
            .start()
        )
        while not query.awaitTermination(_LOOK) and not stop.is_set():
            pass
        query.stop()

    def _plain(self, error: Exception) -> BaseException:
        """What went wrong, in our words where we have them."""
        if self._error is not None:
            return self._error
        said = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return LakeError(f"{self.name}: Spark's query failed: {said}")

    def _pieces(self) -> Any:
        """The plan: rows to chunks, one exchange by contract, each contract's handler."""
        f = needed("pyspark.sql.functions")
        from spymaster.engines.spark.stream.processor import (
            STATE,
            ContractProcessor,
            KeyTask,
            in_pandas,
        )

        rows = (
            self._spark.readStream.format("delta")
            .option("startingVersion", self._state.start)
            .option("maxFilesPerTrigger", _ALL)
            .load(self._lake.uri(STREAM))
            .where("contract_id IS NOT NULL")
            .select(*COLUMNS, f.input_file_name().alias("file"))
            .mapInArrow(chunks.to_chunks, chunks.DDL)
        )
        calls = self._spark.readStream.text(self._lake.place.uri(self._calls)).selectExpr(
            "value AS contract_id", "'' AS file", "CAST(NULL AS BINARY) AS body"
        )
        keyed = rows.union(calls).groupBy("contract_id")
        task = KeyTask(self._settings, self.name, self._layers)
        if self._interface == "apply":
            return keyed.applyInPandasWithState(
                in_pandas(task), PIECES, STATE, "append", "NoTimeout"
            )
        return keyed.transformWithStateInPandas(ContractProcessor(task), PIECES, "Append", "None")

    # A micro-batch

    def _take(self, frame: Any, batch: int) -> None:
        try:
            self._batch(frame, batch)
        except BaseException as error:
            self._error = error
            raise

    def _batch(self, frame: Any, batch: int) -> None:
        """Decide, write down, compute, commit, keep."""
        query = str(self._spark.sparkContext.getLocalProperty(QUERY))
        self._check_query(query)
        intent = self._log.intent(query, batch) or self._decide(query, batch)
        self._openings.restore(intent.openings)
        made = self._compute(frame)
        if self._state.e >= intent.e:
            # Its rows are in the tables, its state is in Spark's store: Spark had not noted it.
            self._openings.restore(self._state.openings)
            for name, parts in made.parts.items():
                self._lake.discard(name, parts)
            return
        self._commit(intent, made)

    def _check_query(self, query: str) -> None:
        if self._state.query not in ("", query):
            raise LakeError(
                f"{self._lake.place.uri(folder(self.name))}: turns are of the query "
                f"{self._state.query}, and Spark's checkpoint beside them is of {query}. One of "
                "them is another's: bring back the one that belongs to the other."
            )

    def _decide(self, query: str, batch: int) -> Intent:
        """Which sessions open with it, by what the commits say that are there by now."""
        stream, openings = StreamLog(self._lake), self._openings
        newest = stream.newest()
        openings.take(stream.between(openings.read, newest), newest)
        turn = openings.turn()
        intent = Intent(self._state.e + 1, query, batch, turn, openings.to_json())
        self._log.write_intent(intent)
        return intent

    def _compute(self, frame: Any) -> Heard:
        """One job of Spark: states move on, files are written, facts come back."""
        root = str(self._settings.root)
        made = Heard()
        for row in frame.mapInArrow(parts_task(root, self._run_id), PIECES).collect():
            made.take(row["name"], row["rows"], row["body"] and bytes(row["body"]))
        if made.errors:
            for name, parts in made.parts.items():
                self._lake.discard(name, parts)
            raise SessionError("; ".join(sorted(made.errors)[:3]))
        return made

    def _commit(self, intent: Intent, made: Heard) -> None:
        """Every table once, lineage last; then the state, and a call to those who wait."""
        openings = self._openings
        openings.advance(made.seen)
        ended = openings.hear(made.facts, made.rows())
        info = {"group": self.name, "epoch": intent.e, "version": openings.reached}
        if "gold" in self._layers:
            self._show_specs(intent)
        commit_parts(self._lake, self._tables, self.name, intent.e, made.parts, info, self._check)
        self._lineage(ended, intent.e, info)
        self._state = State(
            intent.e, intent.query, intent.batch, self._state.start, openings.to_json()
        )
        self._log.write_state(self._state)
        self._call()
        self._count(made, ended)
        self.idle, self.reached = not openings.callers, openings.reached

    def _lineage(self, ended: Sequence[Ended], e: int, info: Mapping[str, Any]) -> None:
        """The sessions that ended are whole in every table."""
        app, lake = (f"{self.name}/{LINEAGE}", e), self._lake
        rows = [
            lineage_row(self._settings, x, self._layers, self._run_id, e, self._now())
            for x in ended
        ]
        if rows:
            lake.append_rows(LINEAGE, rows, app=app, info=info)
        else:
            lake.append(LINEAGE, [], app=app, info=info)

    def _show_specs(self, intent: Intent) -> None:
        """Layouts of vectors to come, once each."""
        for name in intent.turn.opened:
            spec = lookback_spec(self._settings.of(name))
            app = f"gold.vector_spec/{spec_hash(spec)}"
            if spec in self._specs:
                continue
            if self._lake.transaction_version("gold.vector_spec", app) is None:
                self._lake.append_rows("gold.vector_spec", vector_spec_rows(spec), app=(app, 1))
            self._specs.add(spec)

    def _call(self) -> None:
        """Wake the contracts whose session is open, or is about to, and that may get no rows."""
        callers = self._openings.callers
        if callers:
            path = f"{self._calls}/{self._state.e:012d}-{uuid.uuid4().hex}.txt"
            write(self._lake.place, path, "".join(f"{c}\n" for c in callers).encode())

    def _count(self, made: Heard, ended: Sequence[Ended]) -> None:
        done = self.done
        done.epochs += 1
        done.rows += sum(made.rows().values())
        for fact in made.facts:
            done.repeated += fact.get("repeated", 0)
            done.late += fact.get("late", 0)
        done.sessions_ended += [f"{x.underlier} {x.session.date}" for x in ended]
        if done.repeated or done.late:
            log.info("%s: %s", self.name, json.dumps(vars(done)))
