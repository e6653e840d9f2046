"""The scoring loop: whom it asks, how often, how patiently."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from spymaster.settings.base import AtLeastOne, Frozen, Name, Positive, secret_in_vault_has_a_name


def _place(url: str) -> str:
    """A URL with a host, whose port is a number, and without a secret in it."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        _ = parts.port
        good = good and url.isprintable() and " " not in url
    except ValueError:
        good = False
    if not good:
        raise ValueError("is no http://HOST:PORT or https://HOST, without user and password")
    return url


class EndpointSettings(Frozen):
    """Where a model answers: the URL without /score; `deployment`: one of several behind it."""

    url: Annotated[str, AfterValidator(_place)]
    deployment: str = ""


class ScoringSettings(Frozen):
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

    _secret = model_validator(mode="after")(secret_in_vault_has_a_name)
