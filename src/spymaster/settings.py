"""The settings: one frozen object, built once from defaults < file < environment < overrides."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from spymaster.errors import ContractError
from spymaster.market.clock import clock_seconds, clock_text
from spymaster.market.windows import session_offsets, window_text

PREFIX = "SPYMASTER_"
CONFIG_VARIABLE = "SPYMASTER_CONFIG"
CONFIG_FILE = "spymaster.toml"

Clock = Annotated[str, AfterValidator(lambda text: clock_text(clock_seconds(text)))]
WindowText = Annotated[str, AfterValidator(window_text)]
AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.01, lt=1, allow_inf_nan=False)]
#: A folder of the lake and a part of an environment variable.
Root = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9.]*$")]
Name = Annotated[str, Field(min_length=1)]
#: A list, or from the environment text with commas.
Symbols = Annotated[
    tuple[Name, ...], BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v)
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class WindowSettings(_Frozen):
    """The windows of a session, as half-open New York clock times."""

    bars: WindowText = "08:30-16:00"
    premarket: WindowText = "05:00-09:30"
    opening_range: WindowText = "09:30-09:45"
    focus: WindowText = "08:30-12:30"
    trigger: WindowText = "09:30-12:30"
    regular: WindowText = "09:30-16:00"


class ApproachSettings(_Frozen):
    """How near is a touch, how far is a break, how long may it take."""

    scale: Literal["range", "fixed"] = "range"
    touch_ticks: AtLeastOne = 4
    barrier_ticks: AtLeastOne = 24
    approach_bars: AtLeastOne = 24
    timeout_bars: AtLeastOne = 144
    max_episodes: AtLeastOne = 10

    @model_validator(mode="after")
    def _touch_is_nearer(self) -> ApproachSettings:
        if self.touch_ticks >= self.barrier_ticks:
            raise ValueError(
                f"touch_ticks {self.touch_ticks} is not below barrier_ticks {self.barrier_ticks};"
                " a level is touched before it breaks"
            )
        return self


class UnderlierSettings(_Frozen):
    """One market: its model, its feed, its calendar and its windows."""

    model_id: Name
    venue: Name
    calendar: Name
    boundary: Clock = "17:00"
    windows: WindowSettings = WindowSettings()
    approach: ApproachSettings = ApproachSettings()

    @model_validator(mode="after")
    def _windows_nest(self) -> UnderlierSettings:
        boundary = clock_seconds(self.boundary)
        spans: dict[str, tuple[int, int]] = {}
        for name, text in self.windows.model_dump().items():
            try:
                spans[name] = session_offsets(text, boundary)
            except ValueError as error:
                raise ValueError(f"windows.{name} {error}") from None
        for inner, outer in (("trigger", "focus"), ("focus", "bars")):
            if spans[inner][0] < spans[outer][0] or spans[outer][1] < spans[inner][1]:
                raise ValueError(
                    f"windows.{inner} {getattr(self.windows, inner)} does not lie within"
                    f" windows.{outer} {getattr(self.windows, outer)}"
                )
        return self


class EmbeddedBusSettings(_Frozen):
    """How long the embedded bus keeps messages that every group has read; sizes per topic."""

    keep_hours: Positive = 24.0
    keep_bytes: AtLeastOne = 4_000_000_000
    max_bytes: AtLeastOne = 16_000_000_000


class KafkaSettings(_Frozen):
    """Where the brokers are, and how to prove who we are. Secrets are named, never given."""

    servers: Name = "localhost:9092"
    auth: Literal["none", "connection_string", "entra"] = "none"
    ca: str = ""
    connection_string_variable: str = "SPYMASTER_EVENT_HUBS"
    vault: str = ""
    vault_secret: str = ""
    vault_ca: str = ""
    vault_strict: bool = True
    compression: Literal["none", "gzip"] = "none"
    create_topics: bool = True

    @model_validator(mode="after")
    def _secret_in_vault_has_a_name(self) -> KafkaSettings:
        if bool(self.vault) != bool(self.vault_secret):
            raise ValueError(
                "vault and vault_secret go together: the vault's URL, and a name in it"
            )
        return self


class BusSettings(_Frozen):
    """Which bus, how topics are cut, and how long a producer waits for room, a lock or a broker."""

    kind: Literal["embedded", "kafka"] = "embedded"
    partitions: AtLeastOne = 1
    max_message_bytes: AtLeastOne = 1_000_000
    buffer_bytes: AtLeastOne = 8_000_000
    wait_s: Positive = 60.0
    embedded: EmbeddedBusSettings = EmbeddedBusSettings()
    kafka: KafkaSettings = KafkaSettings()

    @model_validator(mode="after")
    def _sizes_nest(self) -> BusSettings:
        sizes = {
            "max_message_bytes": self.max_message_bytes,
            "buffer_bytes": self.buffer_bytes,
            "embedded.keep_bytes": self.embedded.keep_bytes,
            "embedded.max_bytes": self.embedded.max_bytes,
        }
        names = list(sizes)
        for small, large in pairwise(names):
            if sizes[small] > sizes[large]:
                raise ValueError(f"{small} {sizes[small]} is above {large} {sizes[large]}")
        if self.embedded.max_bytes - self.embedded.keep_bytes < self.buffer_bytes:
            raise ValueError("embedded.max_bytes leaves no room for buffer_bytes above keep_bytes")
        return self


class SymbolSettings(_Frozen):
    """What is subscribed for an underlier, by Databento's kinds of symbol."""

    parent: Symbols = ()
    raw_symbol: Symbols = ()
    instrument_id: Symbols = ()


class FeedSettings(_Frozen):
    """The live feed: what is subscribed, where, with whose key, and how patiently.

    `gateway`: a host in place of Databento's own. `definitions_s`: how long records wait for the
    definitions. `good_s`: a connection that ran so long starts the backoff anew.
    """

    symbols: dict[Root, SymbolSettings] = Field(
        default_factory=lambda: {
            name: SymbolSettings(**values) for name, values in DEFAULTS["feed"]["symbols"].items()
        }
    )
    gateway: str = ""
    port: Annotated[int, Field(ge=1, le=65_535)] = 13_000
    key_variable: Name = "DATABENTO_API_KEY"
    vault: str = ""
    vault_secret: str = ""
    vault_ca: str = ""
    vault_strict: bool = True
    heartbeat_s: Annotated[int, Field(ge=1, le=1_800)] = 30
    first_record_s: Positive = 30.0
    definitions_s: Positive = 20.0
    backoff_first_s: Positive = 0.5
    backoff_longest_s: Positive = 60.0
    good_s: Positive = 60.0
    horizon_hours: Positive = 24.0
    slow_reader_behavior: Literal["warn", "skip"] = "warn"
    compression: Literal["none", "zstd"] = "none"
    buffer_bytes: AtLeastOne = 64_000_000

    @model_validator(mode="after")
    def _secret_in_vault_has_a_name(self) -> FeedSettings:
        if bool(self.vault) != bool(self.vault_secret):
            raise ValueError(
                "vault and vault_secret go together: the vault's URL, and a name in it"
            )
        if self.backoff_first_s > self.backoff_longest_s:
            raise ValueError(
                f"backoff_first_s {self.backoff_first_s:g} is above backoff_longest_s"
                f" {self.backoff_longest_s:g}"
            )
        return self


class EndpointSettings(_Frozen):
    """Where a model answers: the URL without /score; `deployment`: one of several behind it."""

    url: Annotated[str, Field(pattern=r"^https?://[^/].*$")]
    deployment: str = ""


class ScoringSettings(_Frozen):
    """The scoring loop: whom it asks about the vectors of a model, how often, how patiently.

    `endpoint`: by model and role. `every_s`: vectors wait so long to be asked about together (0: at
    once), `batch_rows` in a request at most. `retry_*`, `breaker_*`: see `scoring.patience`.
    `model_attempts`: how often the model may fail before a vector is given up; `give_up_s`: how
    long a request may wait before its vectors are (0: they wait as long as it takes). `watch_s`:
    between two looks at the version that is served.
    """

    endpoint: dict[Name, dict[Literal["champion", "shadow"], EndpointSettings]] = Field(
        default_factory=dict
    )
    every_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    batch_rows: AtLeastOne = 1_000
    timeout_s: Positive = 2.0
    retry_first_s: Positive = 0.1
    retry_longest_s: Positive = 5.0
    breaker_failures: AtLeastOne = 5
    breaker_s: Positive = 1.0
    model_attempts: AtLeastOne = 3
    give_up_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    watch_s: Positive = 2.0
    key_variable: Name = "SPYMASTER_SCORING_KEY"
    vault: str = ""
    vault_secret: str = ""
    vault_ca: str = ""
    vault_strict: bool = True

    @model_validator(mode="after")
    def _secret_in_vault_has_a_name(self) -> ScoringSettings:
        if bool(self.vault) != bool(self.vault_secret):
            raise ValueError(
                "vault and vault_secret go together: the vault's URL, and a name in it"
            )
        return self


class SplitSettings(_Frozen):
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


class GateSettings(_Frozen):
    """What a challenger must show on test sessions to become champion.

    `alpha`: chance that any look at a test session ever promotes what is not better.
    `margin_nats`: log-loss per episode by which it must be better. `min_*`: fewer sessions or
    episodes are not looked at. `draws`, `seed`: of the bootstrap over sessions.
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


class MlSettings(_Frozen):
    """Learning: how it is split, searched, judged.

    `tracking_uri`: any MLflow store; '' is a file of its own under ml-artifacts/mlflow.
    """

    tracking_uri: str = ""
    split: SplitSettings = SplitSettings()
    gate: GateSettings = GateSettings()


DEFAULTS: Mapping[str, Any] = {
    "root": "./spymaster-data",
    "underlier": {
        "ES": {
            "model_id": "ES_MODEL",
            "venue": "GLBX.MDP3",
            "calendar": "CME_Equity",
            "boundary": "17:00",
        },
        "TSLA": {
            "model_id": "TSLA_MODEL",
            "venue": "XNAS.ITCH",
            "calendar": "NASDAQ",
            "boundary": "20:00",
            "approach": {"touch_ticks": 20, "barrier_ticks": 150},
        },
    },
    "feed": {
        "symbols": {
            "ES": {"parent": ("ES.FUT", "ES.OPT")},
            "TSLA": {"raw_symbol": ("TSLA",)},
        },
    },
}


class Settings(_Frozen):
    """Everything a person may set. ``Settings()`` is the defaults alone; use ``load``."""

    root: Name = DEFAULTS["root"]
    underlier: dict[Root, UnderlierSettings] = Field(
        default_factory=lambda: {
            name: UnderlierSettings(**values) for name, values in DEFAULTS["underlier"].items()
        }
    )
    feed: FeedSettings = Field(default_factory=FeedSettings)
    bus: BusSettings = BusSettings()
    scoring: ScoringSettings = Field(default_factory=ScoringSettings)
    ml: MlSettings = MlSettings()

    @classmethod
    def load(cls, config: Path | None = None, **overrides: Any) -> Settings:
        """Defaults, then the file, then the environment, then what the command line says.

        The file is ``config``, else SPYMASTER_CONFIG, else spymaster.toml where it exists. An
        override of None is not given. Raises ContractError for an unknown key or a bad value.
        """
        given = {key: value for key, value in overrides.items() if value is not None}
        file, values = _file(config)
        sources = [("command line", given), ("environment", _environment()), (file, values)]
        merged: dict[str, Any] = dict(DEFAULTS)
        for _, source in reversed(sources):
            merged = _merge(merged, source)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise ContractError(_explain(error, sources)) from None

    def of(self, name: str) -> UnderlierSettings:
        """The settings of one underlier; ContractError names those there are."""
        if name not in self.underlier:
            raise ContractError(
                f"settings: underlier {name!r} is not configured;"
                f" allowed: {', '.join(self.underlier)}."
                f" Add a table [underlier.{name}] to {CONFIG_FILE}"
            )
        return self.underlier[name]

    def config_hash(self, underlier: str) -> str:
        """BLAKE2b-128 of everything that changes this underlier's rows (not where they lie)."""
        values = {"underlier": underlier, **self.of(underlier).model_dump(mode="json")}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def to_toml(self) -> str:
        """The effective values as a file that loads to the same settings."""
        return "\n".join(_toml(self.model_dump(mode="json"), ())).strip() + "\n"


def _file(config: Path | None) -> tuple[str, dict[str, Any]]:
    named = config or os.environ.get(CONFIG_VARIABLE) or None
    path = Path(named or CONFIG_FILE)
    if named is None and not path.exists():
        return str(path), {}
    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(
            f"{path}: cannot be read ({error.strerror}). Name a file with --config or"
            f" {CONFIG_VARIABLE}, or unset them to use the defaults"
        ) from None
    except ValueError as error:
        raise ContractError(f"{path}: not a TOML file: {error}. Correct it at that place") from None


def _environment() -> dict[str, Any]:
    """SPYMASTER_ROOT, SPYMASTER_UNDERLIER__ES__APPROACH__SCALE and the like, as nested tables.

    Other SPYMASTER_ names without ``__`` belong to tests, secrets and deployments.
    """
    values: dict[str, Any] = {}
    for variable, text in sorted(os.environ.items()):
        parts = variable.removeprefix(PREFIX).split("__")
        if variable.startswith(PREFIX) and (len(parts) > 1 or parts[0] == "ROOT"):
            for part in reversed(_keys(parts)):
                nested: Any = {part: text}
                text = nested
            values = _merge(values, nested)
    return values


def _keys(parts: list[str]) -> list[str]:
    """Names of underliers and models are upper case, all other keys are lower case."""
    lower = [part.lower() for part in parts]
    by_name = lower[:2] in (["feed", "symbols"], ["scoring", "endpoint"])
    at = 2 if by_name else 1 if lower[0] == "underlier" else len(parts)
    return lower[:at] + [part.upper() for part in parts[at : at + 1]] + lower[at + 1 :]


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old or {}, value) if both else value
    return merged


def _explain(error: ValidationError, sources: list[tuple[str, dict[str, Any]]]) -> str:
    errors = error.errors()
    more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
    return _sentence(errors[0], sources) + more


def _sentence(problem: ErrorDetails, sources: list[tuple[str, dict[str, Any]]]) -> str:
    path = tuple(str(part) for part in problem["loc"] if part != "[key]")
    key, source = ".".join(path), _source(path, sources)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed(path))
        return f"{source}: unknown key {key}; allowed: {allowed}. Remove it or correct its name"
    if problem["type"] == "missing":
        return f"{source}: {key} is missing; an underlier without defaults needs it. Add it"
    message = re.sub(r"^(Value error, |(Input|String) should )", "", problem["msg"])
    found = problem["input"]
    if isinstance(found, Mapping | BaseModel):
        return f"{source}: {key}: {message}. Correct it, or leave it out for the default"
    return (
        f"{source}: {key} = {json.dumps(found, default=str)}: should"
        f" {message.removeprefix('must ')}. Correct it, or leave it out for the default"
    )


def _source(path: tuple[str, ...], sources: list[tuple[str, dict[str, Any]]]) -> str:
    """The highest source that says something at this place, or else nearest above it."""
    for depth in range(len(path), 0, -1):
        for name, values in sources:
            here: Any = values
            for part in path[:depth]:
                here = here.get(part) if isinstance(here, Mapping) else None
            if here is not None:
                return name
    return "settings"


def _allowed(path: tuple[str, ...]) -> list[str]:
    """The keys of the table in which the key at `path` lies."""
    model: type[BaseModel] = Settings
    rest = list(path[:-1])
    while rest:
        part = rest.pop(0)
        if model is Settings and part == "underlier":
            model = UnderlierSettings
            del rest[:1]
        elif model is FeedSettings and part == "symbols":
            model = SymbolSettings
            del rest[:1]
        elif model is ScoringSettings and part == "endpoint":
            model = EndpointSettings
            del rest[:2]
        else:
            kind = model.model_fields[part].annotation
            assert isinstance(kind, type)
            assert issubclass(kind, BaseModel)
            model = kind
    return list(model.model_fields)


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Values before tables, as TOML needs them; its strings are JSON's."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain and path:
        yield f"\n[{'.'.join(_bare(part) for part in path)}]"
    for key, value in plain.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _toml(value, (*path, key))


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
