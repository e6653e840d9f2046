"""The settings: one frozen object, built once from defaults < file < environment < overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from spymaster.errors import ContractError
from spymaster.settings.alerts import RULES, AlertsSettings
from spymaster.settings.base import Frozen, Name, Root
from spymaster.settings.bus import BusSettings
from spymaster.settings.dashboard import DashboardSettings
from spymaster.settings.explain import explain
from spymaster.settings.feed import SYMBOLS, FeedSettings
from spymaster.settings.learning import MlSettings
from spymaster.settings.market import UnderlierSettings
from spymaster.settings.scoring import ScoringSettings
from spymaster.settings.serving import ServingSettings
from spymaster.settings.sources import CONFIG_FILE, from_environment, from_file, merged
from spymaster.settings.spark import SparkSettings
from spymaster.settings.toml import lines

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
    "feed": {"symbols": SYMBOLS},
    "alerts": {"rule": RULES},
}


class Settings(Frozen):
    """Everything a person may set. ``Settings()`` is the defaults alone; use ``load``."""

    root: Name = DEFAULTS["root"]
    underlier: dict[Root, UnderlierSettings] = Field(
        default_factory=lambda: {
            name: UnderlierSettings(**values) for name, values in DEFAULTS["underlier"].items()
        }
    )
    feed: FeedSettings = Field(default_factory=FeedSettings)
    bus: BusSettings = BusSettings()
    ml: MlSettings = MlSettings()
    serving: ServingSettings = Field(default_factory=ServingSettings)
    scoring: ScoringSettings = Field(default_factory=ScoringSettings)
    alerts: AlertsSettings = Field(default_factory=AlertsSettings)
    dashboard: DashboardSettings = DashboardSettings()
    spark: SparkSettings = SparkSettings()

    @classmethod
    def load(cls, config: Path | None = None, **overrides: Any) -> Settings:
        """Defaults, then the file, then the environment, then what the command line says.

        The file is ``config``, else SPYMASTER_CONFIG, else spymaster.toml where it exists. An
        override of None is not given. Raises ContractError for an unknown key or a bad value.
        """
        given = {key: value for key, value in overrides.items() if value is not None}
        file, values = from_file(config)
        sources = [("command line", given), ("environment", from_environment()), (file, values)]
        effective: dict[str, Any] = dict(DEFAULTS)
        for _, source in reversed(sources):
            effective = merged(effective, source)
        try:
            return cls.model_validate(effective)
        except ValidationError as error:
            raise ContractError(explain(error, cls, sources)) from None

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
        return "\n".join(lines(self.model_dump(mode="json"), ())).strip() + "\n"
