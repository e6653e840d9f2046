"""The local stream engine: the same loop as history, with a source that does not end.

Messages of the topic in small intents, each written down before it is worked on; vectors to
`features_gold` at once; every few seconds an epoch of whole intents into the `_stream` tables. A
restart goes on where it was, whatever ended it (`engines/epoch.py`).
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from spymaster.bus import Bus, Message
from spymaster.contracts.stream import TABLES
from spymaster.engines.epoch import EpochLog, Intent, State
from spymaster.engines.lease import Lease
from spymaster.engines.markets import Made
from spymaster.engines.stream import features
from spymaster.engines.stream.committer import GROUP, Committer, Cut
from spymaster.engines.stream.features import Features
from spymaster.engines.stream.feed import (
    Begin,
    Broken,
    Events,
    Missing,
    Taken,
    TopicFeed,
    state_bytes,
)
from spymaster.engines.stream.opened import Opened, open_session
from spymaster.engines.stream.past import PastSessions
from spymaster.engines.stream.report import Rate
from spymaster.engines.stream.rows import EpochRows, Key
from spymaster.engines.stream.session import StreamSession
from spymaster.engines.stream.start import Start
from spymaster.engines.stream.warm_start import events_before
from spymaster.errors import BusError, LakeError
from spymaster.feed.topic import TOPIC, Batch, Content
from spymaster.kernel.state import pack, unpack
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.lake.sweep import sweep
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import spec_hash, vector_spec_rows

log = logging.getLogger(__name__)

#: Seconds without messages after which the loop looks around (marks, stop, commits).
_POLL = 0.05
#: Seconds to wait for messages that are known to be there.
_PATIENCE = 60.0
#: Messages behind the topic's end with which one is still up to date.
_BEHIND = 1_000
#: Further ahead than this nobody looks for the next session.
_FAR = 8 * DAY_NS


@dataclass
class Counters:
    """What the engine has done since it began."""

    records: int = 0
    intents: int = 0
    sessions_ended: list[str] = field(default_factory=list)
    state: str = ""


@dataclass(frozen=True)
class Pending:
    """A session that has begun while the one before it is open.

    `begins`: the offsets before its first record; `since`: from when on the feed is known, ns UTC.
    """

    begins: Mapping[int, int]
    since: int


def _pending(told: list[Any]) -> dict[Key, Pending]:
    return {
        (name, date): Pending({int(p): int(o) for p, o in x["begins"].items()}, x["since"])
        for (name, date), x in told
    }


def _absent(at: Mapping[int, int], ends: Mapping[int, int]) -> BusError:
    return BusError(
        f"{TOPIC}: messages {dict(at)} to {dict(ends)} were written down and do not come within "
        f"{_PATIENCE:.0f} s. Is the bus well? Nothing is lost: start again, or, if the topic was "
        "made anew, begin with it: spymaster live --fresh"
    )


class LiveEngine:
    """Live on one machine.

    `now` gives ns UTC. `intent_records`: at most so many records are worked on at a time (one
    message is never cut). `commit_s`: seconds between epochs. `quiet_s`: `run` returns when so
    long nothing came (None: never), with all that was read committed.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        now: Callable[[], int] = time.time_ns,
        *,
        intent_records: int = 100_000,
        commit_s: float = 10.0,
        quiet_s: float | None = None,
    ) -> None:
        self.settings, self.now = settings, now
        self.counters = Counters()
        self._rate = Rate()
        self._bus = bus
        self._intent_records, self._commit_s, self._quiet_s = intent_records, commit_s, quiet_s
        self._run_id = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=self._run_id)
        self.sessions: dict[Key, StreamSession] = {}
        self._past = PastSessions()
        self._pending: dict[Key, Pending] = {}
        self._looked: dict[str, tuple[int, int]] = {}
        self._specs: set[str] = set()  # of vectors to come; written before their epoch
        self._refused: list[dict[str, Any]] = []
        self._just_ended: list[Mapping[str, str]] = []

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        local = self.lake.place.local
        if local is None:
            raise LakeError(
                f"{self.lake.root}: the local stream engine keeps its log on a local disk. Use a "
                "folder as root, or the Spark engine."
            )
        return local / "lake/checkpoints" / GROUP

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one stream engine of its root."""
        return bool(self.counters.state)

    @property
    def vectors(self) -> int:
        """Vectors published."""
        return self._features.vectors

    def begin_anew(self) -> None:
        """Leave the old state and begin anew where it stood.

        Sessions that have begun stay as they are in the tables, which only grow, and are not made
        again; the next ones are whole.
        """
        with Lease(self.lake.place, self._run_id, self.now, GROUP):
            start = Start.anew(self.folder, self._begun())
            log.info("the stream begins anew, for the %d. time", start.times)

    def _begun(self) -> dict[str, str]:
        """Of each underlier the last session that has rows."""
        begun: dict[str, str] = {}
        for p in self.lake.partitions("silver.mbo_normalized_stream"):
            date = begun.get(p["underlier"], "")
            begun[p["underlier"]] = max(date, p["session_date"])
        return begun

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        c = self.counters
        if c.state in ("", "starting"):
            return {"state": "starting"}
        last = max(self.feed.last.values(), default=0)
        now = self.now()
        behind = sum(max(0, o - self._offsets.get(p, 0)) for p, o in self._ends.items())
        catching_up = c.state == "live" and behind >= _BEHIND
        return {
            "state": "catching up" if catching_up else c.state,
            "records": c.records,
            "records_per_s": self._rate.per_second(c.records),
            "lag_s": (now - last) / 1e9 if last else None,
            "behind_messages": behind,
            "last_ts_recv": last or None,
            "epoch": self._committer.committed,
            "committed_s_ago": (now - self._committer.at) / 1e9 if self._committer.at else None,
            "state_bytes": self._committer.state_bytes,
            "vectors": self._features.vectors,
            "sessions": [f"{n} {d}" for n, d in list(self.sessions)],
            "late": self.feed.late,
            "repeated": self.feed.repeated,
            "detail": f"epoch {self._committer.committed}, {behind} messages behind, "
            f"{self._features.vectors} vectors, {len(self.sessions)} sessions open",
        }

    def run(self, stop: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then drain and commit."""
        stop = stop or Event()
        start = Start.of(self.folder)
        self.lake.check_writable()
        with Lease(self.lake.place, self._run_id, self.now, GROUP) as lease:
            self.counters.state = "starting"
            if lease.unfinished:
                sweep(self.lake, lease.unfinished, [t.name for t in TABLES])
                lease.swept()
            self._begin(EpochLog(start.folder(self.folder), lease.check), start)
            try:
                self.counters.state = "replaying"
                self._replay()
                self.counters.state = "live"
                self._loop(stop)
                self.counters.state = "draining"
                self._cut()
                self._committer.wait()
                self._look()
            except BaseException:
                self._committer.stop()
                self._rows.abandon()
                raise
            finally:
                self._reader.close()
                self._features.close()
                self._epochs.close()
        return self.counters

    # Begin

    def _begin(self, epochs: EpochLog, start: Start) -> None:
        self._epochs = epochs
        for topic in (TOPIC, features.TOPIC):
            self._bus.create(topic, self.settings.bus.partitions)
        for table in TABLES:
            self.lake.create(table.name)
        self.feed = TopicFeed(
            self._bus.partitions(TOPIC), self._definition, self.settings.underlier
        )
        self._features = Features(self._bus, GROUP)
        self._committer = Committer(self.lake, self._bus, epochs, self.now, start.app)
        self._rows = EpochRows(self.lake, self.settings.underlier, self.feed)
        self._first: int | None = None
        self._last = self._e = 0
        self._past.skip(start.begun)
        self._offsets = start.within(self._bus.begins(TOPIC), self._bus.ends(TOPIC))
        if epochs.state is not None:
            self._restore(epochs.state)
            self._check_offsets()
        self._reader = self._bus.reader(TOPIC, self._offsets)
        self._queue: dict[int, deque[Message]] = {p: deque() for p in self._offsets}
        self._cut_at = self._looked_at = time.monotonic()
        self._ends = dict(self._offsets)

    def _definition(self, contract_id: str) -> Instrument | None:
        rows = self.lake.scan(
            "bronze.definitions", filters={"contract_id": contract_id}, missing_ok=True
        ).to_pylist()
        return Instruments(Instrument.from_row(r) for r in rows).by_contract().get(contract_id)

    def _made_by(self) -> dict[str, str]:
        """What a state must have been made by for this program to go on from it."""
        return {
            "code_version": provenance.code_version(),
            "contracts_version": provenance.contracts_version(),
            **{
                f"settings of {name}": self.settings.config_hash(name)
                for name in self.settings.underlier
            },
        }

    def _restore(self, state: State) -> None:
        made_by = self._made_by()
        other = [k for k, v in state.facts["made_by"].items() if made_by.get(k) != v]
        if other:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} was made with other "
                f"{', '.join(other)}. Go on with those, or begin anew of what was captured: "
                "spymaster live --fresh"
            )
        self._e, self._last = state.e, state.intent
        self._offsets = {int(p): int(o) for p, o in state.facts["offsets"].items()}
        try:
            self._from_bytes(state.data)
        except ValueError as error:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} is of another version of this "
                f"program ({error}). Or begin anew: spymaster live --fresh"
            ) from error

    def _check_offsets(self) -> None:
        """The state goes on at messages that the topic has, or will have next."""
        begins, ends = self._bus.begins(TOPIC), self._bus.ends(TOPIC)
        for p, offset in self._offsets.items():
            if not begins.get(p, 0) <= offset <= ends.get(p, -1):
                raise BusError(
                    f"{TOPIC}: partition {p} has messages {begins.get(p, 0)} to {ends.get(p, 0)}, "
                    f"and the state of {self.folder} goes on at {offset}: the topic was made "
                    "anew, or kept too little. Bring the bus of this root back, or begin anew: "
                    "spymaster live --fresh"
                )

    def _from_bytes(self, data: bytes) -> None:
        head, *sessions = (a.tobytes() for a in unpack(data, "LIVE", 1)[1])
        told = json.loads(head)
        self.feed.restore(told["feed"])
        self._past.restore(told["past"])
        self._pending = _pending(told["pending"])
        for (name, date), of_one in zip(told["sessions"], sessions, strict=True):
            s = self._session(name, date)
            self.sessions[name, date] = StreamSession.from_bytes(s, self.settings.of(name), of_one)

    def _session(self, name: str, date: str) -> Session:
        return session(self.settings.of(name), name, dt.date.fromisoformat(date))

    def _replay(self) -> None:
        """Repeat what was written down behind the state: epochs, then loose intents."""
        for epoch, intents in self._epochs.replay():
            for intent in intents:
                self._work(intent, TopicFeed.read(self._exactly(intent)))
            if epoch is not None:
                self._cut(epoch.e)
                self._committer.wait()

    def _exactly(self, intent: Intent) -> list[Message]:
        found: list[Message] = []
        since = time.monotonic()
        for partition, (_, end) in sorted(intent.ranges.items()):
            queue = self._queue[partition]
            while self._offsets[partition] < end:
                if not queue:
                    self._fill(1.0)
                    if not queue and time.monotonic() - since > _PATIENCE:
                        raise _absent(self._offsets, {p: e for p, (_, e) in intent.ranges.items()})
                    continue
                if queue[0].offset >= end:
                    self._offsets[partition] = end
                    break
                message = queue.popleft()
                found.append(message)
                self._offsets[partition] = message.offset + 1
        return found

    # The loop

    def _loop(self, stop: Event) -> None:
        last = time.monotonic()
        while not stop.is_set():
            self._fill(_POLL)
            while (any(self._queue.values()) or self._ready()) and not stop.is_set():
                self._next()
                self._maybe_cut()
                last = time.monotonic()
            self._maybe_cut()
            self._look()
            if self._quiet_s is not None and time.monotonic() - last > self._quiet_s:
                return

    def _look(self) -> None:
        """How far the topic is, each second: what `status` calls behind."""
        if time.monotonic() - self._looked_at >= 1 or self.counters.state == "draining":
            self._ends = self._bus.ends(TOPIC)
            self._looked_at = time.monotonic()

    def _fill(self, timeout: float) -> None:
        messages = self._reader.poll(timeout=0 if any(self._queue.values()) else timeout)
        for message in messages:
            self._queue[message.partition].append(message)

    def _next(self) -> None:
        """One more intent: whole messages, until it has enough records."""
        taken: list[tuple[Message, Content | Broken]] = []
        ranges: dict[int, tuple[int, int]] = {}
        records = 0
        for partition, queue in self._queue.items():
            begin = self._offsets[partition]
            while queue and (records < self._intent_records):
                message = queue.popleft()
                (pair,) = TopicFeed.read([message])
                taken.append(pair)
                if isinstance(pair[1], Batch):
                    records += len(pair[1].columns.ts_recv)
                self._offsets[partition] = message.offset + 1
            if self._offsets[partition] > begin:
                ranges[partition] = (begin, self._offsets[partition])
        intent = self._epochs.intent(ranges, self._facts(taken, ranges))
        self._work(intent, taken)

    def _facts(
        self, taken: list[tuple[Message, Content | Broken]], ranges: Mapping[int, tuple[int, int]]
    ) -> dict[str, Any]:
        """What decides the intent's rows beside its messages: how new sessions begin."""
        spans: dict[str, tuple[int, int]] = {}
        for _, content in taken:
            if isinstance(content, Batch) and len(content.columns.ts_recv):
                ts = content.columns.ts_recv
                low, high = spans.get(content.venue, (2**63, -1))
                spans[content.venue] = min(low, int(ts[0])), max(high, int(ts[-1]))
        begun = {p: ranges[p][0] if p in ranges else o for p, o in self._offsets.items()}
        for name, u in self.settings.underlier.items():
            low, high = spans.get(u.venue, (0, -1))
            for s in self._touched(name, low, high) if low <= high else ():
                key = (name, s.session_date.isoformat())
                if key not in self.sessions and not self._past.has(*key):
                    since = min(low, self.feed.since.get(u.venue, low))
                    self._pending.setdefault(key, Pending(begun, since))
        opened = {}
        for name, date in self._ready():
            waited = self._pending.pop((name, date))
            s = self._session(name, date)
            made = open_session(
                self.lake, self.settings, s, waited.begins, waited.since, self._past
            )
            opened[f"{name} {date}"] = {**made.to_json(), "begins": waited.begins}
        facts = {"opened": opened, "pending": self._waiting()}
        return {k: v for k, v in facts.items() if v}

    def _waiting(self) -> list[Any]:
        return [[key, asdict(pending)] for key, pending in self._pending.items()]

    def _ready(self) -> list[Key]:
        """Sessions that wait for none before them: what those come to is known."""
        busy = {name for name, _ in self.sessions}
        first = {name: min(d for n, d in self._pending if n == name) for name, _ in self._pending}
        return sorted((name, date) for name, date in first.items() if name not in busy)

    def _touched(self, name: str, low: int, high: int) -> list[Session]:
        """The sessions that records from `low` to `high` (ns UTC) belong to, if any is new."""
        since, until = self._looked.get(name, (2**63, 0))
        if since <= low and high < until:
            return []
        u = self.settings.of(name)
        found = sessions_touched(u, name, low, high + 1)
        known = {s.session_date for s in found}
        later = sessions_touched(u, name, high, high + _FAR)
        starts = [s.input_start for s in later if s.session_date not in known]
        self._looked[name] = (low, min(starts, default=high + _FAR))
        return found

    def _work(self, intent: Intent, contents: list[tuple[Message, Content | Broken]]) -> None:
        """Step 2 and 3: advance, and publish what others wait for."""
        for key, told in intent.facts.get("opened", {}).items():
            name, date = key.split()
            begins = {int(p): int(o) for p, o in told["begins"].items()}
            self._open(name, date, Opened.from_json(told), begins, intent)
        self._pending = _pending(intent.facts.get("pending", []))
        taken = self.feed.take(contents)
        self._rows.add_topic(taken)
        self._refused += taken.refused
        for s in list(self.sessions.values()):
            self._advance(s, taken, self.feed)
        self._features.flush()
        if self._first is None:
            self._first = intent.n
        self._last = intent.n
        self.counters.records += taken.records
        self.counters.intents += 1

    def _advance(self, s: StreamSession, taken: Taken, feed: TopicFeed) -> None:
        """A session takes what was read, and ends at a mark past its last window."""
        for piece in taken.pieces:
            if isinstance(piece, Events):
                self._emit(s, s.stages.advance(feed.contracts, piece.events))
            elif isinstance(piece, Begin):
                s.stages.begin_file()
            elif isinstance(piece, Missing) and piece.gap.venue == s.venue:
                touched = feed.of_partition(piece.partition)
                made = s.stages.gap(piece.gap.from_ts, piece.gap.reason, touched.__contains__)
                self._emit(s, made)
        mark = taken.marks.get(s.venue)
        if mark is not None:
            self._emit(s, s.stages.close(mark))
            if s.stages.closed:
                self._end(s)

    def _open(
        self, name: str, date: str, opened: Opened, begins: Mapping[int, int], intent: Intent
    ) -> None:
        """Begin a session, and give it what the topic brought while the one before was open."""
        s = StreamSession(self._session(name, date), self.settings.of(name), opened)
        self.sessions[name, date] = s
        self._specs.add(s.stages.spec)
        log.info("%s %s begins: %s is selected", name, date, opened.earlier.selected)
        if opened.cold:
            log.warning("%s %s is not warm: %s", name, date, opened.cold)
        for piece in events_before(self.lake, self.settings, opened.files):
            if piece is None:
                s.stages.begin_file()
            else:
                self._emit(s, s.stages.advance(*piece))
        if opened.files:
            s.stages.begin_file()
            log.info("%s %s: %d landed files told what was before", name, date, len(opened.files))
        ends = {p: intent.ranges.get(p, (o, o))[0] for p, o in self._offsets.items()}
        feed = TopicFeed(len(ends), self._told, self.settings.underlier)
        for messages in self._between(begins, ends):
            if s.key in self.sessions:
                self._advance(s, feed.take(TopicFeed.read(messages)), feed)

    def _told(self, contract_id: str) -> Instrument | None:
        """A contract that the topic has told, or the lake."""
        known = [i for i in self.feed.contracts if i.contract_id == contract_id]
        return known[0] if known else self._definition(contract_id)

    def _between(
        self, begins: Mapping[int, int], ends: Mapping[int, int]
    ) -> Iterator[list[Message]]:
        """The topic's messages from offsets to offsets, once more."""
        at = {p: o for p, o in begins.items() if o < ends[p]}
        if not at:
            return
        with self._bus.reader(TOPIC, at) as reader:
            while any(at[p] < ends[p] for p in at):
                messages = reader.poll(timeout=_PATIENCE)
                if not messages:
                    raise _absent(at, ends)
                messages = [m for m in messages if m.offset < ends[m.partition]]
                for m in messages:
                    at[m.partition] = m.offset + 1
                yield messages

    def _emit(self, s: StreamSession, made: Made) -> None:
        for kind, rows in made:
            self._take(s, kind, rows)

    def _take(self, s: StreamSession, kind: str, rows: list[Rows]) -> None:
        if not rows:
            return
        version = s.opened.data_version
        for r in rows:
            s.counts[r.table] = s.counts.get(r.table, 0) + len(r)
        self._features.add(rows, s.session.session_date, s.session.underlier, kind, version)
        self._rows.add(s.key, kind, rows, version)

    def _end(self, s: StreamSession) -> None:
        """No mark can change the session any more: what later ones ask of it, and its lineage."""
        name, date = s.key
        small: dict[str, list[dict[str, Any]]] = {}
        for table, kind, row in s.stages.small():
            self._take(s, kind, [Rows(table, None, row, 1)])
            keys = {"session_date": s.session.session_date, "underlier": name}
            small.setdefault(table, []).append({**row, **keys, "instrument_type": kind})
        self._past.add(s.session, small)
        self._rows.add_lineage(self._lineage(s))
        self._just_ended.append({"session_date": date, "underlier": name})
        del self.sessions[s.key]
        self.counters.sessions_ended.append(f"{name} {date}")
        log.info("%s %s ended: %s", name, date, s.stages.missing() or "complete")

    def _lineage(self, s: StreamSession) -> dict[str, Any]:
        missing = s.stages.missing()
        counters = {"duplicates": s.stages.duplicates, **s.stages.quality, "missing": missing}
        return {
            "session_date": s.session.session_date,
            "underlier": s.session.underlier,
            "status": "complete",
            "data_version": s.opened.data_version,
            "files": [],
            "inputs_hash": json.dumps(s.opened.to_json(), sort_keys=True),
            "code_version": provenance.code_version(),
            "config_hash": self.settings.config_hash(s.session.underlier),
            "contracts_version": provenance.contracts_version(),
            "table_versions": "{}",
            "rows": json.dumps(s.counts),
            "counters": json.dumps(counters),
            "run_id": self._run_id,
            "epoch": self._e + 1,
            "machine": provenance.machine(),
            "committed_at": self.now(),
        }

    # Epochs

    def _maybe_cut(self) -> None:
        due = time.monotonic() - self._cut_at >= self._commit_s
        if due and self._first is not None and not self._committer.busy:
            self._cut()

    def _cut(self, e: int | None = None) -> None:
        """Step 4 and 5, handed to the committer: an epoch of the intents since the last one."""
        self._cut_at = time.monotonic()
        if self._first is None:
            return
        self._small_tables()
        self._e = self._e + 1 if e is None else e
        facts = {
            "offsets": {str(p): o for p, o in self._offsets.items()},
            "made_by": self._made_by(),
        }
        state = State(self._e, self._last, facts, self._to_bytes())
        ended = tuple(self._just_ended)
        self._committer.submit(
            Cut(self._e, self._first, self._last, self._rows, state, dict(self._offsets), ended)
        )
        self._rows = EpochRows(self.lake, self.settings.underlier, self.feed)
        self._first, self._just_ended = None, []

    def _small_tables(self) -> None:
        """What several pipelines append to: each row once, by what it is of."""
        for row in self._refused:
            app = f"bronze.quarantine/{row['source']}/{row['offset']}"
            self.lake.append_rows("bronze.quarantine", [row], app=(app, 1))
        self._refused = []
        for spec in self._specs:
            app = f"gold.vector_spec/{spec_hash(spec)}"
            if self.lake.transaction_version("gold.vector_spec", app) is None:
                self.lake.append_rows("gold.vector_spec", vector_spec_rows(spec), app=(app, 1))
        self._specs.clear()

    def _to_bytes(self) -> bytes:
        told = {
            "feed": self.feed.to_json(),
            "past": self._past.to_json(),
            "pending": self._waiting(),
            "sessions": list(self.sessions),
        }
        parts = [state_bytes(told), *(s.to_bytes() for s in self.sessions.values())]
        return pack("LIVE", 1, [np.frombuffer(p, "u1") for p in parts])
