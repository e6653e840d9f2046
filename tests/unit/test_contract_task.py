"""What a Spark task does with one contract, without Spark: the rows of the local engine."""

from __future__ import annotations

from collections import Counter, defaultdict

import pyarrow as pa
import pytest

from spymaster.contracts import TABLES as CONTRACTS
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.local import How, LocalEngine
from spymaster.engines.plan import Dates
from spymaster.engines.session_run import TABLES
from spymaster.engines.spark.contract_task import pieces_of
from spymaster.engines.spark.script import Script, script_of
from spymaster.engines.spark.staged import FACT, POSITION, Piece, as_batch, unpacker
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.envelope import EVENT_COLUMNS
from tests.e2e.scenes import NIGHT, market, run, two

NAMES = [name for layer in ("silver", "gold") for name in TABLES[layer]]


def scripts_of(settings: Settings) -> list[Script]:
    """The scripts of all ES sessions of a root."""
    engine, lake = LocalEngine(settings), Lake(settings.root)
    planner = engine._planner()
    sessions = planner.sessions("ES", planner.files("ES"), Dates())
    jobs = [engine._job(planner, s, How(("silver", "gold"), True)) for s in sessions]
    rows = lake.scan("bronze.definitions").to_pylist()
    known = Instruments(Instrument.from_row(r) for r in rows).by_contract()
    return [script_of(j, lake, settings, known) for j in jobs]


def given(lake: Lake, script: Script, contract: str) -> pa.Table:
    """A contract's events as Spark hands them over: by file, in the feed's order."""
    parts = []
    for read in script.reads():
        rows = lake.scan(
            "bronze.mbo", EVENT_COLUMNS, {"contract_id": contract, "batch_id": read["batch_id"]}
        )
        ts = rows["ts_recv"].to_numpy()
        inside = pa.array((ts >= read["from_ts"]) & (ts <= read["to_ts"]))
        rows = rows.filter(inside)
        parts.append(rows.append_column("file", pa.array([read["file"]] * len(rows), pa.int32())))
    return pa.concat_tables(parts)


def unpacked(pieces: list[Piece], name: str) -> pa.Table:
    batch = as_batch("job", 0, 0, [p for p in pieces if p.name == name])
    rows = list(unpacker(name)(iter([batch])))
    schema = arrow_schema(CONTRACTS[name])
    return (
        pa.Table.from_batches(rows).drop([POSITION]).cast(schema) if rows else schema.empty_table()
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A root with two ES sessions that share a day's file."""
    folder = tmp_path_factory.mktemp("night")
    settings = two(folder / "root")
    run(settings, market(folder / "files", sessions=2, events=3_000, windows=NIGHT))
    return settings


@pytest.mark.parametrize("batch_rows", [97, 1 << 20])
def test_contracts_one_by_one_make_the_session_that_was_made_of_all_of_them(
    batch_rows: int, settings: Settings
) -> None:
    lake = Lake(settings.root)
    made: dict[str, list[pa.Table]] = defaultdict(list)
    told: Counter[str] = Counter()
    for script in scripts_of(settings):
        known = lake.scan("bronze.mbo", ["contract_id"])["contract_id"].unique().to_pylist()
        for contract in known:
            rows = given(lake, script, contract)
            if not len(rows):
                continue
            batches = rows.combine_chunks().to_batches(max_chunksize=batch_rows)
            pieces = [p for some in pieces_of(script, contract, iter(batches)) for p in some]
            for p in pieces:
                told[p.name] += p.rows
            for name in NAMES:
                made[name].append(unpacked(pieces, name))
    for name in NAMES:
        if not lake.exists(name):
            assert not told[name]
            continue
        found = diff(lake.scan(name), pa.concat_tables(made[name]), name)
        print(found)
        assert found.equal, str(found)
        assert told[name] == len(lake.scan(name))
    print(told)
    assert told["silver.bar_5s"] > 0 < told["gold.setup_vectors"]
    assert told[f"{FACT}selected"] > 0 == told[f"{FACT}error"]
