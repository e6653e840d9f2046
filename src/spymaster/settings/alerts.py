"""Alerts: which figures are watched for what, and who hears of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from spymaster.contracts.alerts import FIGURES, SERIES, SILENCE
from spymaster.settings.base import AtLeastOne, Frozen, Name, Positive, Symbols

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LOG = "log"

#: What is watched unless the settings say otherwise; `enabled = false` silences one.
RULES: dict[str, dict[str, Any]] = {
    "ofi_spike": {"what": "ofi", "condition": "anomaly", "threshold": 6.0},
    "liquidity_vacuum": {"what": "liquidity_vacuum", "value": 0.8, "bars": 2},
    "stale_feed": {"what": "stale_s", "value": 30.0, "severity": "critical"},
    "late_bars": {"what": "lag_s", "value": 5.0, "bars": 6},
    "book_gaps": {"what": "gaps", "bars": 12, "cool_down_s": 900.0},
    "book_drift": {"what": "drift", "cool_down_s": 900.0},
    "scoring_errors": {"what": "score_errors", "window": 60, "cool_down_s": 900.0},
}


def _figure(name: str) -> str:
    if name not in FIGURES:
        raise ValueError(f"must be one of {', '.join(FIGURES)}")
    return name


def _url(url: str) -> str:
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.hostname and "@" not in url):
        raise ValueError("must be http://HOST/... or https://HOST/..., without user and password")
    return url


class RuleSettings(Frozen):
    """One rule: a figure, a condition, how long it must hold, and who hears of it.

    `value`: the bound of above and below; of an anomaly how far from its baseline it must be at
    least, for what is nearly always the same number. `threshold`, `seasonality`, `trend` and
    `direction` are of an anomaly, over a window of the last `window` bars (`least` bars at least).
    `bars` in a row, and `holds_s` seconds, must the condition hold; after an alert the rule is
    silent about the same subject for `cool_down_s`. `underlier`, `contract` (a pattern such as
    ES.FUT.*) and `instrument_types`: only these. `to`: log, and names of webhooks.
    """

    what: Annotated[Name, AfterValidator(_figure)]
    condition: Literal["above", "below", "anomaly"] = "above"
    value: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    threshold: Positive = 3.0
    seasonality: Annotated[int, Field(ge=0)] = 0
    trend: Literal["avg", "linefit", "none"] = "avg"
    direction: Literal["both", "up", "down"] = "both"
    window: AtLeastOne = 720
    least: AtLeastOne = 120
    bars: AtLeastOne = 1
    holds_s: NotNegative = 0.0
    cool_down_s: NotNegative = 300.0
    severity: Literal["info", "warning", "critical"] = "warning"
    underlier: str = ""
    contract: str = ""
    instrument_types: Symbols = ("FUT", "STK")
    to: Symbols = (LOG,)
    enabled: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> RuleSettings:
        if self.condition == "anomaly" and self.what not in SERIES:
            raise ValueError(f"{self.what} has no series of bars; an anomaly needs one")
        if self.condition == "anomaly" and self.least > self.window:
            raise ValueError(f"least {self.least} is more than window {self.window}")
        if self.what in SILENCE and (self.condition, self.bars) != ("above", 1):
            raise ValueError(f"{self.what} can only be above a value, and has no bars")
        return self


class WebhookSettings(Frozen):
    """Where alerts are posted as JSON.

    `url`, or the environment variable `url_variable` that holds it where it is a secret itself;
    `secret_variable`: one whose value is sent as a bearer token. `timeout_s` of a request,
    `retry_*` between two, `give_up_s` (0: never) for an alert; `drain_s`: how long the end of the
    command waits for one.
    """

    url: Annotated[str, AfterValidator(_url)] = ""
    url_variable: str = ""
    secret_variable: str = ""
    timeout_s: Positive = 5.0
    retry_first_s: Positive = 0.5
    retry_longest_s: Positive = 60.0
    give_up_s: NotNegative = 86_400.0
    drain_s: NotNegative = 10.0

    @model_validator(mode="after")
    def _one_place(self) -> WebhookSettings:
        if bool(self.url) == bool(self.url_variable):
            raise ValueError("needs url, or url_variable: the environment variable that holds it")
        return self


class AlertsSettings(Frozen):
    """Rules by their names, and webhooks by theirs. `kept`: alerts that a webhook may owe."""

    rule: dict[Name, RuleSettings] = Field(
        default_factory=lambda: {n: RuleSettings(**r) for n, r in RULES.items()}
    )
    webhook: dict[Name, WebhookSettings] = Field(default_factory=dict)
    kept: AtLeastOne = 10_000

    @model_validator(mode="after")
    def _somebody_hears(self) -> AlertsSettings:
        if LOG in self.webhook:
            raise ValueError(f"a webhook is called {LOG}, which is the log's name")
        for name, rule in self.rule.items():
            unknown = set(rule.to) - {LOG} - self.webhook.keys()
            if unknown:
                there = ", ".join([LOG, *self.webhook])
                raise ValueError(f"rule {name} tells {sorted(unknown)[0]}; there are: {there}")
        return self
