"""A backtest from end to end: real files, a real model, a real store; every trade to the tick."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.session_quotes import SessionQuotes
from spymaster.errors import ModelError, SourceError
from spymaster.lake import Lake
from spymaster.lake.manifest import Manifest, utc_day
from spymaster.market.sessions import session
from spymaster.ml.backtest.contest import Contest
from spymaster.ml.backtest.record import identity, key_of
from spymaster.ml.backtest.run import Backtested, backtest
from spymaster.ml.looks import looks
from spymaster.ml.registry import Registry
from spymaster.ml.split_file import load_split
from spymaster.ml.tracking import ROLE, Store
from spymaster.settings import Settings
from tests.ml import schools, trading_school
from tests.ml.schools import ES, FIRST, now
from tests.ml.trading_school import LATENCY, TICK, quote_from, states

pytestmark = [
    pytest.mark.slow,  # most of it MLflow's start
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's
]
COST = 0.2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market, and a model that learnt from its school."""
    root = tmp_path_factory.mktemp("trading")
    trading_school.make(root, root / "market")
    schools.learn(root)
    return root


@pytest.fixture(scope="module")
def tested(root: Path) -> Backtested:
    return go(root)


def go(root: Path, **how: Any) -> Backtested:
    return backtest(trading_school.settings(root), ES, now, **how)


def trades(done: Backtested) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(done.path / "trades.parquet").to_pylist()
    return rows


def test_every_trade_is_what_the_market_gave_to_the_tick(tested: Backtested) -> None:
    rows = trades(tested)
    waited = 0
    for row in rows:
        there = states(row["session_date"])
        buys = row["side"] == "LONG"
        along = row["direction"] == "FROM_BELOW"
        assert buys == (along == (row["call"] == "BREAK"))
        assert row["ordered_at"] == row["vector_time"] + LATENCY
        since, bid, ask = quote_from(there, row["ordered_at"])
        assert (row["entry_time"], row["entry_price"]) == (since, ask if buys else bid)
        waited += since > row["ordered_at"]
        since, bid, ask = quote_from(there, row["exit_ordered_at"])
        assert (row["exit_time"], row["exit_price"]) == (since, bid if buys else ask)
        gross = (row["exit_price"] - row["entry_price"]) / TICK * (1 if buys else -1)
        assert row["gross_ticks"] == gross
        assert row["net_ticks"] == gross - 2 * COST
        assert row["exit_reason"] == "outcome"
    print(len(rows), "trades,", waited, "waited for a quote")
    assert len(rows) > 20
    assert waited > 0
    assert len({row["episode_id"] for row in rows}) == len(rows)
    for one, other in pairwise(rows):
        assert one["exit_time"] <= other["vector_time"]
    result = tested.summary["result"]
    assert result["trades"] == len(rows)
    assert result["total_net_ticks"] == pytest.approx(sum(row["net_ticks"] for row in rows))
    assert sum(s["trades"] for s in result["sessions"]) == len(rows)
    assert result["blocked_episodes"] > 0


def test_the_model_is_asked_and_its_probabilities_reach_the_rule(
    root: Path, tested: Backtested
) -> None:
    rule = tested.summary["rule"]
    for row in trades(tested):
        assert row["probability"] >= rule[f"p_{row['call'].lower()}"]
    told = tested.summary["metrics"]
    assert told["model"]["metrics"]["episode_log_loss"] < told["prior"]["episode_log_loss"]
    blocks = {one["name"]: one["cost"] for one in tested.summary["importance"]["blocks"]}
    assert set(blocks) == {"now", "lookback", "context"}
    assert blocks["now"] > 0.02  # the school's only feature that tells is `distance_ticks`
    assert sum(p["share"] for p in told["predictions"].values()) == pytest.approx(1)


def test_the_baseline_is_traded_beside_it_by_thresholds_of_its_own(tested: Backtested) -> None:
    beside = tested.summary["references"]
    assert beside.keys() == {"every episode along", "every episode against", "the baseline"}
    # It is not told what the model is told, and trades otherwise.
    own, result = beside["the baseline"], tested.summary["result"]
    assert own["trades"] > 0
    assert (own["trades"], own["total_net_ticks"]) != (result["trades"], result["total_net_ticks"])


def test_test_sessions_are_a_look_and_the_same_backtest_again_is_none(
    root: Path, tested: Backtested
) -> None:
    lake = Lake(root)
    cut = load_split(root, ES, FIRST)
    (row,) = looks(lake, ES)
    assert (row["purpose"], row["verdict"], row["look"]) == ("backtest", "seen", 1)
    assert row["sessions"] == [str(day) for day in cut.test] == tested.summary["days"]
    assert row["alpha"] == pytest.approx(0.025)
    assert tested.look is not None
    assert tested.look["look_id"] == row["look_id"]
    assert tested.made
    again = go(root)
    assert not again.made
    assert again.summary == tested.summary
    assert len(looks(lake, ES)) == 1
    runs = Store(trading_school.settings(root), ES).runs({ROLE: "backtest"})
    assert [run.info.run_id for run in runs] == [again.run] == [tested.run]
    metrics = runs[0].data.metrics
    assert metrics["total_net_ticks"] == tested.summary["result"]["total_net_ticks"]
    names = {p.name for p in root.rglob(f"{tested.run}/artifacts/backtest/*")}
    assert names == {"summary.json", "trades.parquet", "report.html", "look.json"}


def test_the_same_inputs_give_the_same_bytes_and_the_next_look_has_less(
    root: Path, tested: Backtested, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("market"))
    kept = tested.path.relative_to(root)
    shutil.rmtree(copy / kept)
    again = backtest(with_store(root, copy), ES, now)
    assert again.path == copy / kept
    for name in ("summary.json", "trades.parquet"):
        assert (again.path / name).read_bytes() == (tested.path / name).read_bytes()
    assert again.look is not None
    assert again.look["look"] == 2
    assert again.look["alpha"] == pytest.approx(0.05 / 6)


def test_other_windows_or_other_files_of_a_session_are_another_backtest(
    root: Path, tested: Backtested, tmp_path: Path
) -> None:
    """What decides the quotes decides whether a backtest is the same: else it would be shown."""
    chosen = trading_school.settings(root)
    scorer = Registry(chosen, ES).scorer("1")
    contest = Contest.of(chosen, scorer, "test", None)

    def key(lake: Path, settings: Settings = chosen) -> str:
        return key_of(identity(Lake(lake), settings, contest))

    assert tested.path.name.endswith(key(root))
    es = chosen.of("ES")
    windows = es.windows.model_copy(update={"bars": "08:30-14:00"})
    other = es.model_copy(update={"windows": windows})
    assert key(root, chosen.model_copy(update={"underlier": {"ES": other}})) != key(root)
    shutil.copytree(root / "lake", tmp_path / "lake")
    assert key(tmp_path) == key(root)
    manifest = Manifest(Lake(tmp_path))
    day = f"{contest.traded.sessions[0]:%Y%m%d}"
    path = next(p for p, row in manifest.rows().items() if utc_day(row) == day)
    manifest.add({**manifest.rows()[path], "sha256": "0" * 64})
    assert key(tmp_path) != key(root)


def test_validation_is_free_and_each_session_is_traded_by_the_others_choice(root: Path) -> None:
    before = len(looks(Lake(root), ES))
    done = go(root, part="validation")
    assert len(looks(Lake(root), ES)) == before
    assert done.look is None
    assert not (done.path / "look.json").exists()
    cut = load_split(root, ES, FIRST)
    assert done.summary["days"] == [str(day) for day in cut.validation]
    assert {row["session_date"] for row in trades(done)} <= set(cut.validation)
    page = (done.path / "report.html").read_text(encoding="utf-8")
    assert "No test session was looked at" in page


def test_the_report_is_one_page_that_needs_nothing_else(tested: Backtested) -> None:
    page = (tested.path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "This was look 1" in page
    assert "src=" not in page
    assert "<script" not in page
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    mean = tested.summary["result"]["mean_net_ticks"]
    assert f"{mean:+.2f}" in page


def test_a_feed_that_ends_after_an_entry_changes_no_entry(root: Path, tested: Backtested) -> None:
    """Nothing that came after an order was filled has told on its price."""
    chosen = trading_school.settings(root)
    source = SessionQuotes(Lake(root), chunk_records=64)
    rows = trades(tested)
    seen = {"entry": 0, "exit": 0}
    for row in rows[:: len(rows) // 4]:
        day = session(chosen.of("ES"), "ES", row["session_date"])
        times = np.array([row["ordered_at"], row["exit_ordered_at"]])
        whole = source.quotes(day, chosen.of("ES"), row["contract_id"], times)
        assert list(whole.ts) == [row["entry_time"], row["exit_time"]]
        for i, what in enumerate(seen):
            # An answer is given when its event is whole: so long may the feed go on.
            files_end = row[f"{what}_time"] + LATENESS_NS + 1
            part = SessionQuotes(Cut(Lake(root), files_end), chunk_records=64)
            part._files = [
                {**f, "last_mark": min(f["last_mark"], files_end)} for f in source._files
            ]
            got = part.quotes(day, chosen.of("ES"), row["contract_id"], times)
            assert got.found[i]
            assert [c[i] for c in got] == [c[i] for c in whole]
            seen[what] += 1
    assert seen["entry"] == seen["exit"] >= 4


class Cut(Lake):
    """A lake whose feed ends early."""

    def __init__(self, lake: Lake, end: int) -> None:
        super().__init__(lake.root)
        self._end = end

    def batches(self, *args: Any, **more: Any) -> Any:
        for batch in super().batches(*args, **more):
            kept = batch.filter(np.asarray(batch["ts_recv"].to_numpy() <= self._end))
            if kept.num_rows:
                yield kept


def with_store(store: Path, root: Path, **backtest: Any) -> Settings:
    """Settings of a copied root, with the first one's store."""
    chosen = trading_school.settings(root, **backtest)
    uri = f"sqlite:///{store / 'ml-artifacts/mlflow/mlflow.db'}"
    return chosen.model_copy(update={"ml": chosen.ml.model_copy(update={"tracking_uri": uri})})


def test_a_lake_that_is_not_the_snapshots_is_refused_before_any_look(
    root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("market", "mlflow"))
    chosen = with_store(root, copy, min_trades=6)
    before = len(looks(Lake(copy), ES))
    shutil.rmtree(copy / "lake" / "bronze" / "manifest")
    with pytest.raises(SourceError, match=r"nothing has landed of ES .*hist bronze"):
        backtest(chosen, ES, now)
    shutil.rmtree(copy / "lake" / "silver" / "level_approach_2m")
    with pytest.raises(ModelError, match=r"episode .* is not there; in the snapshot 2024-05-01"):
        backtest(chosen, ES, now)
    assert len(looks(Lake(copy), ES)) == before
    assert not [*(copy / "ml-artifacts" / "backtests").rglob(".making-*")]


def test_what_is_asked_wrongly_is_told(root: Path) -> None:
    with pytest.raises(ModelError, match=r"no version has the alias 'champion'.*aliases are: none"):
        go(root, alias="champion")
    with pytest.raises(ModelError, match=r"no version 7 .*there are: 1"):
        go(root, version="7")
    with pytest.raises(ModelError, match=r"both given; allowed is one"):
        go(root, version="1", alias="champion")
    with pytest.raises(ModelError, match=r"'X' is no model.*ES_MODEL"):
        backtest(trading_school.settings(root), "X", now)
    with pytest.raises(ModelError, match=r"no rule trades 999 times .*--min-trades"):
        backtest(trading_school.settings(root, min_trades=999), ES, now)


def test_the_command_tells_the_account_and_the_look(root: Path, tested: Backtested) -> None:
    config = root / "spymaster.toml"
    config.write_text(trading_school.settings(root).to_toml(), encoding="utf-8")
    asked = ["ml", "backtest", "--model", ES, "--config", str(config)]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert "shown again it costs nothing" in told.output
    assert str(tested.path / "report.html") in told.output
    free = CliRunner().invoke(app, [*asked, "--sessions", "validation", "--cost-ticks", "1"])
    assert free.exit_code == 0, free.output
    assert "look      none" in free.output
    (line,) = (line for line in free.output.splitlines() if "report.html" in line)
    page = Path(line.partition(": written")[0])
    summary = json.loads(page.with_name("summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["cost_ticks"] == 1.0
    assert summary["settings"]["underlier_cost_ticks"] == {"TSLA": 1.0}
    assert len(looks(Lake(root), ES)) >= 1
