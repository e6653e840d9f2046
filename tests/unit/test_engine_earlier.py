"""What a session knows of the ones before it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.earlier import earlier
from spymaster.engines.ledger import Ledger
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.scale import Scale
from spymaster.market.sessions import session
from spymaster.settings import Settings, UnderlierSettings

MONDAY, TUESDAY = date(2024, 1, 8), date(2024, 1, 9)
ES = Settings().of("ES")
SUMMARY = TABLES["silver.session_summary"]


def instrument(contract: str, expiration: int) -> Instrument:
    return Instrument(
        venue="GLBX.MDP3", instrument_id=expiration % 1000, ts_recv=0, source="definition",
        valid_to=None, raw_symbol=contract, contract_id=contract, underlier="ES",
        instrument_type="FUT", expiration=expiration, price_step=250_000_000, tick=250_000_000,
    )  # fmt: skip


MARCH = instrument("ES.FUT.202403", 1_710_509_400_000_000_001)
JUNE = instrument("ES.FUT.202406", 1_718_976_600_000_000_002)


def summary(contract: str, volume: int, kind: str = "FUT", **other: Any) -> dict[str, Any]:
    row = dict.fromkeys(SUMMARY.names)
    row |= {"contract_id": contract, "volume": volume, "n_trades": 1, "complete": True}
    row |= {"short_session": False, "session_date": MONDAY, "underlier": "ES"}
    return {**row, "instrument_type": kind, "regular_high_px": 4_800_000_000_000, **other}


def lake_of(root: Path, rows: list[dict[str, Any]]) -> Lake:
    lake = Lake(root)
    with lake.writer(SUMMARY.name) as writer:
        writer.write(pa.Table.from_pylist(rows, arrow_schema(SUMMARY)))
    for kind in {r["instrument_type"] for r in rows}:
        partition = {"session_date": MONDAY, "underlier": "ES", "instrument_type": kind}
        mine = [p for p in writer.parts if p.partition["instrument_type"] == kind]
        lake.replace(SUMMARY.name, partition, mine)
    return lake


@pytest.mark.parametrize(
    ("rows", "selected"),
    [
        ([], "ES.FUT.202403"),
        ([summary("ES.FUT.202403", 10), summary("ES.FUT.202406", 90)], "ES.FUT.202406"),
        # The front's book was bad for a while: its volume is what it was.
        (
            [summary("ES.FUT.202403", 1_500_000, complete=False), summary("ES.FUT.202406", 1_200)],
            "ES.FUT.202403",
        ),
        # Only an option was complete: there is no previous complete session of the futures.
        (
            [
                summary("ES.FUT.202406", 90, complete=False),
                summary("ES.OPT.EW.20240126.C.4800", 5, kind="OPT"),
            ],
            "ES.FUT.202403",
        ),
        ([summary("ES.FUT.202406", 90, short_session=True)], "ES.FUT.202403"),
    ],
)
def test_the_front_month_traded_most_in_the_last_complete_session(
    tmp_path: Path, rows: list[dict[str, Any]], selected: str
) -> None:
    lake = lake_of(tmp_path, rows) if rows else Lake(tmp_path)
    known = Instruments([MARCH, JUNE])
    assert earlier(Ledger(lake), session(ES, "ES", TUESDAY), ES, known).selected == selected


def test_levels_come_only_from_contracts_that_were_complete(tmp_path: Path) -> None:
    rows = [summary("ES.FUT.202403", 9), summary("ES.FUT.202406", 9, complete=False)]
    lake = lake_of(tmp_path, rows)
    found = earlier(Ledger(lake), session(ES, "ES", TUESDAY), ES, Instruments([MARCH, JUNE]))
    assert found.levels == {"ES.FUT.202403": {"PD_HIGH": 4_800_000_000_000}}


def test_what_was_known_of_contracts_is_an_input(tmp_path: Path) -> None:
    s, lake = session(ES, "ES", TUESDAY), Lake(tmp_path)
    one, both = (
        earlier(Ledger(lake), s, ES, Instruments(i)).hash for i in ([MARCH], [MARCH, JUNE])
    )
    assert one != both


DAYS = [date(2024, 1, d) for d in (2, 3, 4, 5, 8)]
FIXED = Settings.model_validate(
    {"underlier": {"ES": {**ES.model_dump(), "approach": {"scale": "fixed"}}}}
).of("ES")


#: A contract, its range12m, and what else its summary says.
Told = tuple[str, float | None, dict[str, Any]]


def lake_with_ranges(root: Path, days: dict[date, list[Told]]) -> Lake:
    """Per session its contracts' ranges, the first one selected."""
    lake, order = Lake(root), TABLES["silver.contract_day"]
    for day, contracts in days.items():
        partition = {"session_date": day, "underlier": "ES", "instrument_type": "FUT"}
        ranges = [
            summary(name, 10 - i, range12m=r, session_date=day, **other)
            for i, (name, r, other) in enumerate(contracts)
        ]
        chosen = [
            dict.fromkeys(order.names)
            | {**partition, "contract_id": name, "selected": i == 0, "rolled": False}
            for i, (name, _, _) in enumerate(contracts)
        ]
        for table, rows in ((SUMMARY, ranges), (order, chosen)):
            with lake.writer(table.name) as writer:
                writer.write(pa.Table.from_pylist(rows, arrow_schema(table)))
            lake.replace(table.name, partition, writer.parts)
    return lake


def scale_on_tuesday(lake: Lake, settings: UnderlierSettings = ES) -> Scale | None:
    known = Instruments([MARCH, JUNE])
    return earlier(Ledger(lake), session(settings, "ES", TUESDAY), settings, known).scale


def one(name: str, r: float | None, **other: Any) -> list[Told]:
    return [(name, r, other)]


def test_touch_and_barrier_follow_the_ranges_of_the_sessions_before(tmp_path: Path) -> None:
    ranges = dict(zip(DAYS, (80.0, 47.0, 30.0), strict=False))
    lake = lake_with_ranges(tmp_path, {d: one("ES.FUT.202403", r) for d, r in ranges.items()})
    assert scale_on_tuesday(lake) == Scale(4, 24)
    assert scale_on_tuesday(lake, FIXED) is None


def test_the_scale_is_an_input_of_the_session(tmp_path: Path) -> None:
    known, hashes = Instruments([MARCH, JUNE]), set()
    for i, middle in enumerate((47.0, 48.0, 60.0)):
        days = dict.fromkeys(DAYS[:3], one("ES.FUT.202403", middle))
        lake = lake_with_ranges(tmp_path / str(i), days)
        hashes.add(earlier(Ledger(lake), session(ES, "ES", TUESDAY), ES, known).hash)
    # 47 and 48 are the same scale, and nothing else of a range is used.
    assert len(hashes) == 2


def test_sessions_that_were_short_incomplete_or_without_range_have_no_say(tmp_path: Path) -> None:
    whole = {d: one("ES.FUT.202403", 47.0) for d in DAYS[:2]}
    bad = [
        one("ES.FUT.202403", 47.0, short_session=True),
        one("ES.FUT.202403", 47.0, complete=False),
        one("ES.FUT.202403", None),
    ]
    for i, third in enumerate(bad):
        lake = lake_with_ranges(tmp_path / str(i), {**whole, DAYS[2]: third})
        assert scale_on_tuesday(lake) is None
    lake = lake_with_ranges(tmp_path / "whole", {**whole, DAYS[2]: one("ES.FUT.202403", 47.0)})
    assert scale_on_tuesday(lake) == Scale(4, 24)


def test_across_a_roll_each_session_tells_of_the_contract_it_watched(tmp_path: Path) -> None:
    """June hardly trades before the roll, and March after it: those ranges say nothing."""
    before = [("ES.FUT.202403", 47.0, {}), ("ES.FUT.202406", 3.0, {})]
    after = [("ES.FUT.202406", 49.0, {}), ("ES.FUT.202403", 3.0, {})]
    days = dict.fromkeys(DAYS[:3], before) | dict.fromkeys(DAYS[3:], after)
    assert scale_on_tuesday(lake_with_ranges(tmp_path, days)) == Scale(4, 24)
