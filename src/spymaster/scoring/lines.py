"""Every model and role that is scored, each in a thread of its own: none waits for another."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from spymaster.bus import open_bus
from spymaster.bus.secret import Secret, from_vault
from spymaster.contracts.scores import ROLES
from spymaster.engines.stream.threads import Threads
from spymaster.errors import BusError, ScoringError
from spymaster.scoring.endpoint import Endpoint
from spymaster.scoring.line import Line
from spymaster.scoring.loop import ScoringLoop
from spymaster.settings import EndpointSettings, ScoringSettings, Settings


def scoring_key(settings: ScoringSettings) -> Secret | None:
    """The key that is sent, from Key Vault if one is named, else the environment; None: none."""
    where = f"environment variable {settings.key_variable}"
    value = os.environ.get(settings.key_variable, "").strip()
    if settings.vault:
        where = f"{settings.vault} secret {settings.vault_secret}"
        try:
            value = from_vault(settings, "score")
        except BusError as error:
            raise ScoringError(str(error)) from None
    if not all("!" <= c <= "~" for c in value):
        raise ScoringError(
            f"score: {where} holds no usable key; allowed: ASCII characters without blanks, as "
            "the endpoint has it."
        )
    return Secret(value) if value else None


def lines_of(
    settings: Settings, model: str | None = None, role: str | None = None, url: str | None = None
) -> list[Line]:
    """What [scoring.endpoint] names, of one model or role if asked; `url`: that one instead.

    ScoringError when nothing is left.
    """
    scoring = settings.scoring
    if role not in (None, *ROLES):
        raise ScoringError(f"--role {role}: allowed are {', '.join(ROLES)}.")
    named = {m: dict(roles) for m, roles in scoring.endpoint.items()}
    if url is not None:
        models = [model] if model else sorted({u.model_id for u in settings.underlier.values()})
        if len(models) != 1:
            raise ScoringError(
                f"--endpoint {url}: say whose it is with --model; allowed: {', '.join(models)}."
            )
        named = {models[0]: {role or ROLES[0]: _given(url)}}  # type: ignore[dict-item]
    key = scoring_key(scoring)
    found = [
        Line(m, r, Endpoint(e.url, e.deployment, key, scoring.timeout_s))
        for m, roles in named.items()
        for r, e in roles.items()
        if model in (None, m) and role in (None, r)
    ]
    if not found:
        asked = " ".join(x for x in (model, role) if x) or "any model"
        raise ScoringError(
            f"no endpoint is named for {asked}. Put it into the settings, "
            '[scoring.endpoint.ES_MODEL.champion] url = "http://127.0.0.1:8700", or give '
            "--endpoint URL; spymaster serve --model ES_MODEL starts one."
        )
    return found


def _given(url: str) -> EndpointSettings:
    try:
        return EndpointSettings(url=url)
    except ValueError:
        raise ScoringError(
            f"--endpoint {url!r}: allowed is http://HOST:PORT or https://HOST, without /score and "
            "without a password."
        ) from None


class Running(Threads[ScoringLoop]):
    """The loops of some lines at work. As a context manager it lets go of what they hold.

    `how`: what each `ScoringLoop` is told.
    """

    def __init__(self, settings: Settings, lines: list[Line], **how: Any) -> None:
        stack = ExitStack()
        loops = []
        for line in lines:
            stack.enter_context(line.endpoint)
            bus = stack.enter_context(open_bus(settings))
            loops.append(ScoringLoop(settings, bus, line, **how))
        super().__init__(settings.root, loops, stack)

    def drain(self) -> None:
        """Score what is there, unless the endpoint does not answer, and end; raises as `join`."""
        super().drain()
        self.join()
