"""Compile everything before the first record: a tiny market through every compiled function."""

from __future__ import annotations

import time

import numpy as np

from spymaster.contracts import TABLES
from spymaster.contracts.event import ACTION_ADD, ACTION_TRADE, BAR_NS, EVENT, F_LAST, SIDE_BID
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.feed.dbn_records import MBO_RECORD, WORDS, leading_mbo
from spymaster.kernel.approach import SETUP, Approaches, ApproachParams
from spymaster.kernel.books import Books
from spymaster.kernel.columns import columns_of
from spymaster.kernel.contract_book import BookParams, ContractBook
from spymaster.kernel.duplicates import Duplicates
from spymaster.kernel.level_book import Watch
from spymaster.kernel.levels import LEVEL, SessionLevels
from spymaster.kernel.primitives import Primitives
from spymaster.kernel.summary import Summaries
from spymaster.kernel.trades import trades_of
from spymaster.kernel.vectors import SetupVectors
from spymaster.market.instruments import Instruments
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN


def warm_up() -> float:
    """Run every kernel once on two records; returns the seconds it took.

    Numba keeps what it compiles on disk, so only the first run on a machine takes long.
    """
    started = time.perf_counter()
    window = (0, 10 * BAR_NS)
    events = np.zeros(2, EVENT)
    events["ts_event"] = events["ts_recv"] = (1, BAR_NS + 1)
    events["action"] = (ACTION_ADD, ACTION_TRADE)
    events["side"], events["flags"] = SIDE_BID, F_LAST
    events["price"] = events["size"] = events["order_id"] = 1
    book = ContractBook(
        BookParams(1, 1, 0, window, [window], dense=True, watch=Watch(1, [window], [1])),
        numpy_dtype(TABLES["silver.bar_5s"]),
    )
    notes, bars = book.advance(events)
    book.close(5 * BAR_NS)
    numbers = np.zeros(len(events), np.int64)
    trades = trades_of(events, numbers, notes)
    SessionLevels(window, window, {}, 0).advance(trades)
    summaries = Summaries(window, window, window)
    summaries.add(1)
    summaries.advance(trades)
    Duplicates().keep(events, numbers)
    approaches = Approaches(ApproachParams(window, window, window, 1, 2, 1, 1, 1, 1))
    starts, valid = np.zeros(1, np.int64), np.ones(1, np.bool_)
    approaches.advance(trades, np.zeros(1, LEVEL), starts, valid)
    Primitives(1, 1, 1).advance(bars.rows)
    setups = np.zeros(1, SETUP)
    SetupVectors(1, 1, 0, 1).advance(bars.rows, bars.levels, np.zeros(1, LEVEL), setups)
    BronzeProcessDBN("", Instruments([]), {}).advance(np.zeros(1, MBO_RECORD))
    columns_of(
        np.zeros(1, MBO_RECORD), events, np.zeros(1, np.int64), np.zeros(1, np.int64),
        (np.zeros(256, np.int32), np.zeros(256, np.int32)),
    )  # fmt: skip
    Books(numpy_dtype(TABLES["silver.bar_5s"])).advance(events[:0], numbers[:0])
    leading_mbo(np.zeros(WORDS * 4, np.uint8), WORDS, 1)
    return time.perf_counter() - started
