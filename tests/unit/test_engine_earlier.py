"""What a session knows of the ones before it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.earlier import earlier
from spymaster.engines.ledger import Ledger
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import session
from spymaster.settings import Settings

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
    import pyarrow as pa

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
