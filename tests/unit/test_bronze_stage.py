"""BronzeProcessDBN: a record's identity, contract and session, in any chunks."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.contracts.event import F_SNAPSHOT, NOTE_BACKWARDS
from spymaster.feed.dbn import MBO_RECORD
from spymaster.market.identify import from_symbol
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed
from spymaster.stages.envelope import envelope, events_of

NS = 1_000_000_000
DAY = 1_704_758_400 * NS  # 2024-01-09 00:00 UTC
TICK = 250_000_000
UNDERLIERS = Settings().underlier


def stage() -> BronzeProcessDBN:
    """ES March is 1, June is 2, their spread is 3, and 4 is nothing that anyone has named."""
    known = [
        from_symbol("GLBX.MDP3", s, n, date(2024, 1, 9), date(2024, 1, 11), UNDERLIERS)[0]
        for n, s in ((1, "ESH4"), (2, "ESM4"), (3, "ESH4-ESM4"))
    ]
    return BronzeProcessDBN("GLBX.MDP3", Instruments(i for i in known if i), UNDERLIERS)


def records(*rows: tuple[int, int, int]) -> np.ndarray:
    """(instrument, ts_recv after midnight, flags): adds of 1 at 4800."""
    out = np.zeros(len(rows), MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"] = 14, 0xA0, 1
    out["action"], out["side"], out["size"], out["price"] = ord("A"), ord("B"), 1, 19_200 * TICK
    for i, (instrument, at, flags) in enumerate(rows):
        out["instrument_id"][i], out["ts_recv"][i], out["flags"][i] = instrument, DAY + at, flags
    out["ts_event"], out["order_id"] = out["ts_recv"] - 9, np.arange(len(rows))
    return out


def test_event_index_is_the_place_among_the_instruments_records_of_one_ts_recv() -> None:
    done = stage().advance(records((1, 5, 0), (2, 5, 0), (1, 5, 0), (1, 6, 0), (2, 6, 0)))
    assert done.events["event_index"].tolist() == [0, 0, 1, 0, 0]
    assert done.events["contract"].tolist() == [0, 1, 0, 0, 1]


def test_market_snapshots_count_apart_from_live_records() -> None:
    snap = F_SNAPSHOT
    done = stage().advance(records((1, 5, snap), (1, 5, 0), (1, 5, snap), (1, 5, 0)))
    assert done.events["event_index"].tolist() == [0, 0, 1, 1]


def test_ts_recv_that_runs_backwards_is_raised_and_kept_in_the_payload() -> None:
    given = records((1, 50, 0), (1, 20, 0), (2, 60, 0))
    s = stage()
    done = s.advance(given)
    assert (done.events["ts_recv"] - DAY).tolist() == [50, 50, 60]
    assert done.events["notes"].tolist() == [0, NOTE_BACKWARDS, 0]
    assert done.events["event_index"].tolist() == [0, 1, 0]
    row = envelope(
        given, done, np.arange(3), s.contracts, "GLBX.MDP3", "b", 1, (date(2024, 1, 9), "ES", "FUT")
    ).to_pylist()[1]
    assert row["payload"] == f'{{"ts_recv":{DAY + 20}}}'
    assert s.last_mark == DAY + 60


def test_spreads_are_skipped_and_unknown_instruments_refused() -> None:
    done = stage().advance(records((1, 1, 0), (3, 2, 0), (4, 3, 0), (3, 4, 0)))
    assert (len(done.events), done.skipped) == (1, 2)
    assert [r.index for r in done.refused] == [2]
    assert "instrument 4" in done.refused[0].reason


def test_price_off_the_grid_is_refused_and_no_price_is_none() -> None:
    given = records((1, 1, 0), (1, 2, 0), (1, 3, 0))
    given["price"][0] += 1
    given["price"][1] = 2**63 - 1
    given["action"][1] = ord("C")
    done = stage().advance(given)
    assert "price step" in done.refused[0].reason
    assert done.events["price"].tolist() == [-(2**63), 19_200]


def test_mapping_that_ended_identifies_nothing_on_the_next_day() -> None:
    two_days = 2 * 86_400 * NS
    done = stage().advance(records((1, two_days - 1, 0), (1, two_days, 0)))
    assert len(done.events) == 1
    assert [r.index for r in done.refused] == [1]


def test_records_after_the_boundary_belong_to_the_next_session() -> None:
    s = stage()
    boundary = 22 * 3600 * NS  # 17:00 New York
    done = s.advance(records((1, boundary - 1, 0), (2, boundary, 0), (1, boundary + 1, 0)))
    found = [(d, kind, at.tolist()) for d, _, kind, at in s.sessions(done.events)]
    assert found == [(date(2024, 1, 9), "FUT", [0]), (date(2024, 1, 10), "FUT", [1, 2])]


def _whole(parts: list[Processed]) -> bytes:
    return np.concatenate([p.events for p in parts]).tobytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_into_chunks_gives_the_same_events(data: st.DataObject) -> None:
    one = st.tuples(
        st.sampled_from([1, 1, 2, 3, 4]), st.integers(0, 12), st.sampled_from([0, 128, F_SNAPSHOT])
    )
    feed = records(*data.draw(st.lists(one, min_size=1, max_size=60)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(feed)), max_size=6)))
    s, whole = stage(), stage().advance(feed)
    parts = [s.advance(piece) for piece in np.split(feed, cuts)]
    assert _whole(parts) == whole.events.tobytes()
    assert sum(p.skipped for p in parts) == whole.skipped
    assert sum(len(p.refused) for p in parts) == len(whole.refused)
    assert len(whole.events) + whole.skipped + len(whole.refused) == len(feed)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 9), st.just(0)), min_size=1))
def test_events_from_bronze_rows_are_the_events_that_went_in(
    rows: list[tuple[int, int, int]],
) -> None:
    given_ = records(*rows)
    s = stage()
    done = s.advance(given_)
    batch = envelope(
        given_,
        done,
        np.arange(len(done.events)),
        s.contracts,
        "GLBX.MDP3",
        "b",
        1,
        (date(2024, 1, 9), "ES", "FUT"),
    )
    names = [str(c.contract_id) for c in s.contracts]
    steps = {str(c.contract_id): int(c.price_step or 1) for c in s.contracts}
    assert events_of(batch, names, steps).tobytes() == done.events.tobytes()
