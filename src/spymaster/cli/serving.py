"""The verb that serves a model over HTTP."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from spymaster.cli.app import Config, Root, app
from spymaster.cli.console import errors, tell
from spymaster.errors import ContractError, ScoringError
from spymaster.settings import ServingSettings, Settings


@app.command()
def serve(
    model: Annotated[str, typer.Option("--model", "-m", help="Such as ES_MODEL.")],
    deploy: Annotated[
        list[str] | None,
        typer.Option("--deploy", help="blue=@champion, green=7; may be given twice."),
    ] = None,
    traffic: Annotated[
        str | None, typer.Option("--traffic", help="Percent of each: 'blue=90 green=10'.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Where to listen.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0: the system chooses.")
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Score vectors over HTTP, as an Azure ML managed online endpoint does: POST /score.

    Follows the registry's alias without dropping a request; SIGHUP reads the settings again,
    SIGTERM answers what came and ends. The key is in SPYMASTER_SCORING_KEY, or in Key Vault.

    Example: spymaster serve --model ES_MODEL --deploy blue=@champion --deploy green=7 \
--traffic "blue=90 green=10"
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a vector is too little to share out
    given: dict[str, Any] = {"host": host, "port": port}
    if deploy:
        given["deployments"] = _pairs("--deploy", deploy)
    if traffic:
        given["traffic"] = _percent(traffic)

    def read() -> Settings:
        settings = Settings.load(config, root=root)
        values = settings.serving.model_dump()
        values |= {name: value for name, value in given.items() if value is not None}
        if deploy and not traffic:
            values["traffic"] = {}
        try:
            serving = ServingSettings.model_validate(values)
        except ValueError as error:
            raise ContractError(f"command line: {_reason(error)}") from None
        return settings.model_copy(update={"serving": serving})

    settings = read()
    known = {u.model_id for u in settings.underlier.values()}
    if model not in known:
        raise ContractError(
            f"--model {model!r}: no underlier has this model; allowed: {', '.join(sorted(known))}. "
            "Name one, or set model_id of an underlier."
        )
    try:
        from spymaster.ml.registry import Registry
        from spymaster.scoring.registered import Registered
        from spymaster.scoring.server import serve as run
    except ModuleNotFoundError as error:
        raise ScoringError(
            f"serve needs {error.name}: install spymaster with its extra [ml]."
        ) from None
    run(model, Registered(Registry(settings, model)), lambda: read().serving, tell, errors.print)


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    if not all(name and value for name, value in pairs.items()) or len(pairs) < len(texts):
        raise ContractError(
            f"{option} {' '.join(texts)!r}: allowed: NAME=VALUE, each name once, such as "
            "blue=@champion."
        )
    return pairs


def _percent(text: str) -> dict[str, int]:
    pairs = _pairs("--traffic", text.replace(",", " ").split())
    if not all(value.isdigit() for value in pairs.values()):
        raise ContractError(f"--traffic {text!r}: allowed: percent, such as 'blue=90 green=10'.")
    return {name: int(value) for name, value in pairs.items()}


def _reason(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    text = next((x for x in lines if x.startswith("Value error, ")), lines[-1])
    return text.removeprefix("Value error, ").partition(" [type=")[0]
