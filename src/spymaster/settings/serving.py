"""The scoring endpoint: where it listens, which versions it serves, and its limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from spymaster.settings.base import (
    AtLeastOne,
    Frozen,
    Name,
    Percent,
    Positive,
    secret_in_vault_has_a_name,
)


class ServingSettings(Frozen):
    """The scoring endpoint: where it listens, with whose key, which versions, and its limits.

    `deployments`: names to versions or @aliases of the model in the registry. `traffic`: percent of
    the requests that name no deployment; all to the first by default. `watch_s`: between two looks
    at the aliases. `kept_versions`: how many that no deployment serves stay loaded.
    `inline_bytes`: larger bodies are scored beside the event loop, `max_waiting` of them at most;
    `max_held_bytes`: of all bodies that are not yet whole. `request_s`, `response_s`: how
    long a client may take to send, and to read; `linger_s`: how long a stopped service takes new
    connections while /readyz says no; `drain_s`: and finishes old ones.
    """

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_700
    key_variable: Name = "SPYMASTER_SCORING_KEY"
    vault: str = ""
    vault_secret: str = ""
    vault_ca: str = ""
    vault_strict: bool = True
    deployments: dict[Name, Name] = Field(default_factory=lambda: {"blue": "@champion"})
    traffic: dict[Name, Percent] = Field(default_factory=dict)
    watch_s: Positive = 5.0
    kept_versions: AtLeastOne = 2
    max_body_bytes: AtLeastOne = 32_000_000
    max_header_bytes: AtLeastOne = 32_768
    max_rows: AtLeastOne = 5_000
    max_held_bytes: AtLeastOne = 256_000_000
    max_waiting: AtLeastOne = 64
    max_connections: AtLeastOne = 1_000
    inline_bytes: AtLeastOne = 65_536
    request_s: Positive = 10.0
    response_s: Positive = 10.0
    idle_s: AtLeastOne = 60
    linger_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    drain_s: Positive = 30.0

    _secret = model_validator(mode="after")(secret_in_vault_has_a_name)

    @model_validator(mode="after")
    def _traffic_is_whole(self) -> ServingSettings:
        if not self.deployments:
            raise ValueError('deployments is empty; name one, such as blue = "@champion"')
        unknown = sorted(self.traffic.keys() - self.deployments.keys())
        if unknown:
            there = ", ".join(self.deployments)
            raise ValueError(f"traffic names {unknown[0]}, which is none of deployments: {there}")
        if self.traffic and sum(self.traffic.values()) != 100:
            raise ValueError(f"traffic adds up to {sum(self.traffic.values())}, not to 100 percent")
        return self
