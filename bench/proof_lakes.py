"""Lakes to prove learning on: simulated, computed, one day of each streamed and certified."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spymaster.bus import open_bus
from spymaster.cli.learning_demo import by_day
from spymaster.cli.processes import feed
from spymaster.contracts.event import NS
from spymaster.engines.local import LocalEngine
from spymaster.engines.parity import certify, streamed_sessions
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import ModelError
from spymaster.feed.simulator import simulate
from spymaster.lake import Lake
from spymaster.market import calendars
from spymaster.market.sessions import session
from spymaster.ml.learning_market import SETTINGS, learning_market, learning_settings
from spymaster.ml.shuffle import shuffle_outcomes
from spymaster.settings import Settings

VIEW = "gold.training_view"


@dataclass(frozen=True)
class Market:
    """A market to learn from, by what it hangs on."""

    strength: float
    seed: int
    sessions: int

    def __str__(self) -> str:
        return f"{self.strength:g}-seed{self.seed}-{self.sessions}"


def lake_of(home: Path, market: Market) -> Path:
    """The folder of a market's lake (`data`) and files (`market`), made if it is not there."""
    folder = home / "lakes" / str(market)
    if not folder.exists():
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        _make(part, market)
        part.rename(folder)
    return folder


def _make(folder: Path, market: Market) -> None:
    """Simulate, compute all sessions but the last, stream that one and certify it."""
    settings = learning_settings(folder / "data")
    config = learning_market(market.strength, market.sessions, market.seed)
    days = by_day(simulate(config, folder / "market").files)
    date, streamed = [day for day in days if _whole(settings, day[0])][-1]
    history = [path for day, files in days if day < date for path in files]
    report = LocalEngine(settings).run(history)
    if report.failed:
        raise ModelError(f"{folder}: sessions failed: {report.failed}")
    stream(settings, date, streamed)


def stream(settings: Settings, date: dt.date, files: list[Path]) -> None:
    """Play a day's files as a live feed, take them, and certify the session."""
    begin = session(settings.of("ES"), "ES", date).hull.start - 60 * NS
    feed(files, Path(settings.root), SETTINGS, begin)
    with open_bus(settings) as bus:
        LiveEngine(settings, bus, quiet_s=1.0).run()
    for name, day in streamed_sessions(Lake(settings.root)):
        if not certify(settings, name, day).equal:
            raise ModelError(f"{settings.root}: the streamed session {day} differs from its record")


def _whole(settings: Settings, date: dt.date) -> bool:
    """Is this the date of a session, and of no half one?"""
    es = settings.of("ES")
    there = calendars.on_or_after(es.calendar, date).date == date
    return there and not session(es, "ES", date).short


def linked(data: Path, to: Path, prepare: Callable[[Path], None] = lambda root: None) -> Path:
    """A lake with ledgers and models of its own, `prepare`d; made if it is not there.

    The files are shared: a lake only ever adds some, so that what is added here is not seen there.
    """
    if not to.exists():
        part = to.with_name(f".{to.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(data / "lake", part / "lake", copy_function=os.link)
        prepare(part)
        part.rename(to)
    return to


def deal_anew(root: Path, seed: int) -> None:
    """Shuffle the outcomes of gold.training_view between the episodes of all sessions."""
    lake = Lake(root)
    rows = lake.scan(VIEW).sort_by([("session_date", "ascending"), ("vector_time", "ascending")])
    label = rows["label"].combine_chunks().dictionary_encode()
    episode = rows["episode_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    codes = label.indices.to_numpy().astype(np.int8)
    dealt = shuffle_outcomes(codes, episode.astype(np.int64), seed)
    anew = pa.array(label.dictionary.to_pylist()).take(pa.array(dealt, pa.int32()))
    place = rows.schema.get_field_index("label")
    rows = rows.set_column(place, rows.schema.field("label"), anew.cast(rows["label"].type))
    for day in sorted(set(rows["session_date"].to_pylist())):
        mine = rows.filter(pc.equal(rows["session_date"], day))
        row = mine.slice(0, 1).to_pylist()[0]
        cut = {n: row[n] for n in ("session_date", "underlier", "instrument_type")}
        with lake.writer(VIEW) as writer:
            writer.write(mine)
        lake.replace(VIEW, cut, writer.parts)
