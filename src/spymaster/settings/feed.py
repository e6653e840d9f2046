"""The live feed: what is subscribed, and how patiently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from spymaster.settings.base import (
    AtLeastOne,
    Frozen,
    Name,
    Positive,
    Root,
    Symbols,
    secret_in_vault_has_a_name,
)


class SymbolSettings(Frozen):
    """What is subscribed for an underlier, by Databento's kinds of symbol."""

    parent: Symbols = ()
    raw_symbol: Symbols = ()
    instrument_id: Symbols = ()


SYMBOLS: Mapping[str, Any] = {
    "ES": {"parent": ("ES.FUT", "ES.OPT")},
    "TSLA": {"raw_symbol": ("TSLA",)},
}


class FeedSettings(Frozen):
    """The live feed: what is subscribed, where, with whose key, and how patiently.

    `gateway`: a host in place of Databento's own. `definitions_s`: how long records wait for the
    definitions. `good_s`: a connection that ran so long starts the backoff anew.
    """

    symbols: dict[Root, SymbolSettings] = Field(
        default_factory=lambda: {name: SymbolSettings(**values) for name, values in SYMBOLS.items()}
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

    _secret = model_validator(mode="after")(secret_in_vault_has_a_name)

    @model_validator(mode="after")
    def _backoff_grows(self) -> FeedSettings:
        if self.backoff_first_s > self.backoff_longest_s:
            raise ValueError(
                f"backoff_first_s {self.backoff_first_s:g} is above backoff_longest_s"
                f" {self.backoff_longest_s:g}"
            )
        return self
