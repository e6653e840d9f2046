"""A backtest from end to end: thresholds on validation, then one look at what they trade."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.ml.backtest import record
from spymaster.ml.backtest.account import account
from spymaster.ml.backtest.contest import Contest, Part
from spymaster.ml.backtest.importance import blocks_of, importance, series_of
from spymaster.ml.backtest.market import Market, market_of
from spymaster.ml.backtest.report import write_report
from spymaster.ml.backtest.thresholds import Tried, attempt
from spymaster.ml.backtest.trading import NEVER, Desk, Rule
from spymaster.ml.baseline import Baseline
from spymaster.ml.folder import FrozenFolder
from spymaster.ml.looks import look
from spymaster.ml.registry import CHAMPION, Registry
from spymaster.ml.tracking import ROLE, Store
from spymaster.settings import BacktestSettings, Settings
from spymaster.stages.feature_contract import contract_of

log = logging.getLogger(__name__)

Clock = Callable[[], int]
Progress = Callable[[str], None]
METRIC = "net ticks per trade"
_KEY = "spymaster.backtest"
#: What anybody could do without a model, at each episode's first vector while the contract is flat.
REFERENCES = {"every episode along": Rule(0.0, NEVER), "every episode against": Rule(NEVER, 0.0)}


@dataclass(frozen=True)
class Backtested:
    """A backtest, and whether this call made it. `look` is None on validation sessions."""

    path: Path
    summary: dict[str, Any]
    look: dict[str, Any] | None
    made: bool
    run: str  #: of MLflow
    tracking_uri: str


def backtest(
    settings: Settings,
    model_id: str,
    now: Clock,
    *,
    version: str | None = None,
    alias: str | None = None,
    part: Part = "test",
    run_date: dt.date | None = None,
    progress: Progress = lambda what: None,
) -> Backtested:
    """Trade a model's calls: a registered `version`, an `alias`, or the model that was swept last.

    On test sessions it is a look: written into gold.test_looks before anything is traded. One that
    was made of the same inputs already is shown again, and costs nothing. `run_date`: a later
    snapshot than the model's own, for test sessions that came since. `now` is the wall clock, ns.

    Raises ModelError when there is nothing to trade, or the lake is not what the snapshot was taken
    of; LakeError when another backtest of the model is at work.
    """
    contract_of(settings, model_id)  # names the models there are
    lake = Lake(settings.root)
    lake.check_exists()
    progress("opening MLflow's store")
    registry = Registry(settings, model_id)
    scorer = registry.scorer(_version(registry, version, alias))
    contest = Contest.of(settings, scorer, part, run_date)
    about = record.identity(lake, settings, contest)
    folder = record.folder_of(settings.root, about)
    owner = uuid.uuid4().hex
    with folder.held(f"backtest/{model_id}", owner, now):
        made = not folder.exists()
        if made:
            _make(settings, lake, registry, contest, about, folder, owner, now, progress)
        summary = record.read(folder, record.SUMMARY)
        taken = record.read(folder, record.LOOK) if part == "test" else None
        run, uri = _tell(settings, folder, summary, taken, now)
    return Backtested(folder.path, summary, taken, made, run, uri)


def _version(registry: Registry, version: str | None, alias: str | None) -> str:
    if version is not None and alias is not None:
        raise ModelError(
            f"--version {version} and --alias {alias} are both given; allowed is one of them."
        )
    if version is not None:
        return registry.version(version).number
    if alias is not None:
        number = registry.alias(alias)
        if number is None:
            named = sorted({a for v in registry.versions() for a in v.aliases})
            raise ModelError(
                f"{registry.model_id}: no version has the alias {alias!r} in {registry.uri}; "
                f"aliases are: {', '.join(named) or 'none'}. See: spymaster ml models"
            )
        return number
    return registry.register(registry.newest_run()).number


def _make(
    settings: Settings,
    lake: Lake,
    registry: Registry,
    contest: Contest,
    about: dict[str, Any],
    folder: FrozenFolder,
    owner: str,
    now: Clock,
    progress: Progress,
) -> None:
    how, scorer = settings.ml.backtest, contest.scorer

    def asked(what: str) -> Callable[[dt.date], None]:
        return lambda day: progress(f"{what}: quotes of {day}")

    learnt = contest.validation
    market = market_of(lake, settings, learnt, asked("validation"))
    desk = Desk(learnt, scorer.probabilities(learnt.features), market)
    progress("validation: thresholds")
    tried = attempt(desk, how)
    best = tried.best()
    rule = tried.rules[best]
    progress("validation: what the model leans on")
    blocks = [*blocks_of(contest.blocks).items()]
    series = [*series_of(learnt.names, contest.blocks).items()]
    leans = {
        what: [asdict(one) for one in importance(scorer, learnt, dict(groups), **shuffled)]
        for what, groups in (("blocks", blocks), ("lookback_series", series))
        for shuffled in [{"shuffles": how.shuffles, "seed": how.seed}]
    }
    if contest.part == "test":
        there = market_of(lake, settings, contest.traded, asked("test"))
        traded = contest.traded
    with _looking(settings, lake, registry, contest, now) as taken:
        if contest.part == "test":
            desk = Desk(traded, scorer.probabilities(traded.features), there)
            trades = desk.trade(rule)
        else:
            trades = tried.crossed()
        progress("accounts")
        summary = {
            "key": record.key_of(about),
            **about,
            "rule": rule.told(),
            "thresholds": _thresholds(tried, best),
            "result": account(desk, trades, how),
            "references": {
                **{name: account(desk, desk.trade(r), how) for name, r in REFERENCES.items()},
                "the baseline": _by_baseline(contest, market, desk, how),
            },
            "censored_episodes": desk.market.censored,
            "metrics": contest.judged(scorer.probabilities(desk.data.features)),
            "importance": leans,
        }
    with folder.making(owner) as stage:
        (stage / record.SUMMARY).write_bytes(record.to_bytes(summary))
        record.write_trades(desk, trades, stage / record.TRADES)
        if taken is not None:
            (stage / record.LOOK).write_bytes(record.to_bytes(taken))
        progress("report")
        write_report(stage / record.REPORT, summary, taken, desk, trades, tried)
    log.info("%s: %s trades", folder.path, len(trades))


def _by_baseline(
    contest: Contest, market: Market, desk: Desk, how: BacktestSettings
) -> dict[str, Any]:
    """What the baseline makes of the same sessions, by thresholds chosen for it in the same way.

    It learns from the training sessions alone, since those of validation choose its thresholds.
    """
    baseline = Baseline.fit(contest.trained)
    chosen = contest.validation
    tried = attempt(Desk(chosen, baseline.probabilities(chosen), market), how)
    own = Desk(desk.data, baseline.probabilities(desk.data), desk.market)
    try:
        crossed = contest.part == "validation"
        trades = tried.crossed() if crossed else own.trade(tried.rules[tried.best()])
    except ModelError:  # it is never sure enough
        trades = own.trade(Rule(NEVER, NEVER))
    return account(own, trades, how)


@contextmanager
def _looking(
    settings: Settings, lake: Lake, registry: Registry, contest: Contest, now: Clock
) -> Iterator[dict[str, Any] | None]:
    """A row of the ledger for test sessions; validation is free."""
    if contest.part == "validation":
        yield None
        return
    with look(
        lake,
        contest.traded,
        purpose="backtest",
        challenger=contest.scorer.version,
        champion=registry.alias(CHAMPION),
        metric=METRIC,
        alpha=settings.ml.gate.alpha,
        now=now(),
    ) as begun:
        yield {"look_id": begun.look_id, "look": begun.number, "alpha": begun.alpha}


def _thresholds(tried: Tried, best: int) -> dict[str, Any]:
    """How the rule was chosen: what it made in the sessions that it was chosen by."""
    trades, total = int(tried.trades[best].sum()), float(tried.total[best].sum())
    return {
        "objective": tried.how.objective,
        "rules": len(tried.rules),
        "validation_trades": trades,
        "validation_mean_net_ticks": total / trades,
        "validation_total_net_ticks": total,
    }


def _tell(
    settings: Settings,
    folder: FrozenFolder,
    summary: dict[str, Any],
    taken: dict[str, Any] | None,
    now: Clock,
) -> tuple[str, str]:
    """The run in MLflow: made once, found again; (run, store)."""
    store = Store(settings, summary["model_id"])
    tags = {ROLE: "backtest", _KEY: summary["key"]}
    for run in store.ended(tags):
        return str(run.info.run_id), store.uri
    name = f"backtest of version {summary['version']}, {summary['sessions']}"
    run = store.start(name, tags)
    result, judged = summary["result"], summary["metrics"]
    how = summary["settings"]
    params = {
        **{k: summary[k] for k in ("version", "digest", "run_date", "sessions", "snapshot")},
        **{k: "never" if v is None else v for k, v in summary["rule"].items()},
        **{k: how[k] for k in ("latency_ms", "cost_ticks", "objective", "min_trades")},
    }
    if taken is not None:
        params |= {"look": taken["look"], "alpha": taken["alpha"]}
    numbers = {k: v for k, v in result.items() if isinstance(v, int | float) or v is None}
    bounds = {f"mean_net_ticks_{k}": result["interval"][k] for k in ("lower", "upper", "p")}
    metrics = {**numbers, **bounds, **judged["model"]["metrics"]}
    store.tell(run, params, metrics, now() // 10**6, {"equity_ticks": _equity(summary)})
    store.files(run, lambda place: _copy(folder.path, place), "backtest")
    store.end(run)
    return run, store.uri


def _equity(summary: dict[str, Any]) -> tuple[float, ...]:
    """The account after each session."""
    total, out = 0.0, []
    for one in summary["result"]["sessions"]:
        total += one["total_net_ticks"]
        out.append(total)
    return tuple(out)


def _copy(folder: Path, place: Path) -> None:
    for file in sorted(folder.iterdir()):
        (place / file.name).write_bytes(file.read_bytes())
