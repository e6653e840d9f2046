"""Every model and role that is scored, each in a thread of its own: none waits for another."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from spymaster.bus import open_bus
from spymaster.bus.secret import Secret, from_vault
from spymaster.contracts.scores import ROLES
from spymaster.engines.stream.report import StatusFile
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


class Running:
    """The loops of some lines at work. As a context manager it lets go of what they hold.

    `how`: what each `ScoringLoop` is told.
    """

    def __init__(self, settings: Settings, lines: list[Line], **how: Any) -> None:
        self._stack = ExitStack()
        self._stop, self._drain = Event(), Event()
        self._errors: list[BaseException] = []
        self.loops: list[ScoringLoop] = []
        for line in lines:
            self._stack.enter_context(line.endpoint)
            bus = self._stack.enter_context(open_bus(settings))
            self.loops.append(ScoringLoop(settings, bus, line, **how))
        self._threads = [
            Thread(target=self._run, args=(loop,), name=loop.line.name, daemon=True)
            for loop in self.loops
        ]

    def start(self, failed: Callable[[BaseException], object] = lambda error: None) -> None:
        """Begin to score; `failed` hears of a loop that cannot go on. The others do."""
        self._failed = failed
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every loop to drain and end."""
        self._stop.set()

    def drain(self) -> None:
        """Score what is there, unless the endpoint does not answer, and end; raises as `join`."""
        self._drain.set()
        self.join()

    def join(self) -> None:
        """Return when every loop has ended; raises what ended one of them."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.1)  # a signal must be heard meanwhile
        if self._errors:
            raise self._errors[0]

    def told(self) -> list[dict[str, Any]]:
        """How each loop is."""
        return [{"pipeline": loop.line.name, **loop.status()} for loop in self.loops]

    def _run(self, loop: ScoringLoop) -> None:
        line, root = loop.line, loop.settings.root
        file = line.called.status_file
        try:
            with StatusFile(root, file, loop.status, lambda: loop.holds_lease, line.name):
                loop.run(self._stop, self._drain)
        except BaseException as error:
            self._errors.append(error)
            self._failed(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._stack.close()
