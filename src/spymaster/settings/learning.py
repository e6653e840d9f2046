"""Learning: splits, runs, what a champion must show, how a model's calls are traded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spymaster.contracts.event import LATENESS_NS
from spymaster.settings.base import AtLeastOne, Frozen, NotNegative, Positive, Root, Share


class SplitSettings(Frozen):
    """How sessions are shared out, in order; `embargo` sessions between the parts are dropped.

    `folds`: expanding ones inside train. The gate asks for more test sessions than the split does.
    """

    train: Share = 0.55
    validation: Share = 0.2
    test: Share = 0.25
    embargo: Annotated[int, Field(ge=0)] = 1
    folds: AtLeastOne = 3
    min_train: AtLeastOne = 8
    min_validation: AtLeastOne = 3
    min_test: AtLeastOne = 5

    @model_validator(mode="after")
    def _shares_are_all(self) -> SplitSettings:
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train, validation and test make {total:g}, not 1")
        return self


class GateSettings(Frozen):
    """What a challenger must show on test sessions to become champion.

    `alpha`: chance that any look at a test session ever promotes what is not better.
    `margin_nats`: log-loss per episode by which it must be better. `min_*`: fewer are no look.
    `calibration_error`: allowed, or what chance makes of true probabilities where that is more.
    `latency_ms`: p99 of scoring one vector in this process. `parity_sessions`: how many sessions of
    the snapshot may have come after the one whose parity certificate counts.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5, allow_inf_nan=False)] = 0.05
    margin_nats: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.005
    min_sessions: Annotated[int, Field(ge=10)] = 10
    min_episodes: Annotated[int, Field(ge=200)] = 200
    draws: Annotated[int, Field(ge=1_000, le=1_000_000)] = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    calibration_error: Positive = 0.05
    latency_ms: Positive = 3.0
    parity_sessions: Annotated[int, Field(ge=0)] = 20


class BacktestSettings(Frozen):
    """How a model's calls are traded in `ml backtest`. See docs/backtest.md.

    `latency_ms`: from a vector's time, and from an outcome's, to the market; not less than what a
    vector waits for its last record. `cost_ticks`: fees of
    one contract or share, per side; `underlier_cost_ticks`: of these underliers instead.
    `objective`: net ticks per trade, of at least `min_trades` on validation, or in all. `lowest`,
    `highest`, `step`: the thresholds tried. `draws`: of sessions, for the interval. `shuffles`: of
    each block of features, for its importance.
    """

    latency_ms: Annotated[float, Field(ge=LATENESS_NS / 1e6, le=60_000, allow_inf_nan=False)] = (
        250.0
    )
    cost_ticks: NotNegative = 0.2
    underlier_cost_ticks: dict[Root, NotNegative] = Field(default_factory=lambda: {"TSLA": 0.5})
    objective: Literal["per_trade", "total"] = "per_trade"
    min_trades: AtLeastOne = 30
    lowest: Share = 0.34
    highest: Share = 0.9
    step: Share = 0.04
    draws: Annotated[int, Field(ge=1_000, le=1_000_000)] = 20_000
    shuffles: AtLeastOne = 3
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _thresholds_ascend(self) -> BacktestSettings:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest:g} is above highest {self.highest:g}")
        return self


class MlSettings(Frozen):
    """Learning: how it is split, searched, judged, traded.

    `tracking_uri`: any MLflow store; '' is a file of its own under ml-artifacts/mlflow.
    """

    tracking_uri: str = ""
    split: SplitSettings = SplitSettings()
    gate: GateSettings = GateSettings()
    backtest: BacktestSettings = BacktestSettings()
