"""The verbs of a live day: live, score, rehearse, parity, explain, status."""

from __future__ import annotations

from typing import Annotated

import typer

from spymaster.cli.app import Config, Files, Root, SessionDate, app, date_of
from spymaster.cli.console import tell
from spymaster.errors import SessionError
from spymaster.settings import Settings

Underlier = Annotated[
    str | None, typer.Option("--underlier", "-u", help="Only this one, such as ES.")
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Each pipeline that this runs begins anew where its old state stood; all, or none.",
    ),
]


@app.command()
def live(
    quiet: Annotated[
        float | None,
        typer.Option("--quiet", min=0.1, help="End when nothing came for so many seconds."),
    ] = None,
    commit: Annotated[
        float, typer.Option("--commit", min=0.1, help="Seconds between commits to the lake.")
    ] = 10.0,
    intent: Annotated[
        int, typer.Option("--intent", min=1, help="Records worked on at a time, at most.")
    ] = 100_000,
    health: Annotated[
        int | None, typer.Option("--health", min=0, max=65535, help="Port for /healthz, /readyz.")
    ] = None,
    fresh: Fresh = False,
    score: Annotated[
        bool, typer.Option("--score", help="Score the vectors too, as spymaster score does.")
    ] = False,
    config: Config = None,
    root: Root = None,
) -> None:
    """Read the topic mbo_raw; vectors to features_gold at once, every table's rows to the lake.

    Goes on where it was, whatever ended it. Ctrl-C drains: what was read is committed.

    Example: spymaster live --root ./spymaster-data
    """
    from spymaster.cli.live import run_live

    settings = Settings.load(config, root=root)
    run_live(
        settings,
        quiet_s=quiet,
        commit_s=commit,
        intent_records=intent,
        health=health,
        fresh=fresh,
        score=score,
    )


@app.command()
def score(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only this one, such as ES_MODEL.")
    ] = None,
    role: Annotated[
        str | None, typer.Option("--role", help="Only as champion, or as shadow.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="Instead of [scoring.endpoint].", metavar="URL"),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", min=0, help="Seconds between requests; 0: at once.", metavar="N"),
    ] = None,
    quiet: Annotated[
        float | None,
        typer.Option("--quiet", min=0.1, help="End when nothing came for so many seconds."),
    ] = None,
    commit: Annotated[
        float, typer.Option("--commit", min=0.1, help="Seconds between commits to the lake.")
    ] = 10.0,
    health: Annotated[
        int | None, typer.Option("--health", min=0, max=65535, help="Port for /healthz, /readyz.")
    ] = None,
    fresh: Fresh = False,
    retire: Annotated[
        str | None,
        typer.Option(
            "--retire",
            help="Score nothing; let go of a line that is scored no more.",
            metavar="MODEL.ROLE",
        ),
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Ask the model about every vector of features_gold; scores to inference_scores and the lake.

    Vectors wait, in order, while the endpoint is down. Ctrl-C drains: what was scored is committed.

    Example: spymaster score --model ES_MODEL --endpoint http://127.0.0.1:8700
    """
    from spymaster.cli.scoring import run_retire, run_score

    settings = Settings.load(config, root=root)
    if retire is not None:
        run_retire(settings, retire)
        return
    run_score(
        settings,
        model,
        role,
        endpoint,
        health=health,
        every_s=every,
        quiet_s=quiet,
        commit_s=commit,
        fresh=fresh,
    )


@app.command()
def rehearse(
    files: Files,
    speed: Annotated[str, typer.Option(help="1x, 60x, max")] = "60x",
    every: Annotated[
        float, typer.Option("--every", min=0.5, help="Seconds between two looks.")
    ] = 5.0,
    config: Config = None,
    root: Root = None,
) -> None:
    """Play files as a live day: gateway, ingestor and engine as processes, and the certificate.

    Example: spymaster rehearse ./market/*.dbn.zst --speed 60x --root ./rehearsal
    """
    from spymaster.cli.rehearse import rehearse as play

    play(files, Settings.load(config, root=root), config, speed, every)


@app.command()
def parity(
    session: SessionDate = None,
    underlier: Underlier = None,
    vendor: Annotated[
        bool, typer.Option("--vendor", help="Against the vendor's own landed file; informative.")
    ] = False,
    chunk: Annotated[
        int | None, typer.Option("--chunk", min=1, help="Records at a time.", metavar="N")
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make a streamed session again from its own record and compare every fact, bit for bit.

    Without --session: the last that has ended. Exit code 1 when one fact differs.

    Example: spymaster parity --session 2023-12-26
    """
    from spymaster.engines.parity import CHUNK_RECORDS, certify, streamed_sessions
    from spymaster.lake import Lake

    settings = Settings.load(config, root=root)
    lake = Lake(settings.root)
    lake.check_exists()
    date = date_of(session)
    if underlier is not None:
        settings.of(underlier)
    found = [(u, d) for u, d in streamed_sessions(lake) if underlier in (None, u)]
    wanted = [(u, d) for u, d in found if d == date] if date else found[-1:]
    if not wanted and date:
        wanted = [(u, date) for u in settings.underlier if underlier in (None, u)][:1]
    if not wanted:
        raise SessionError(
            f"{lake.root}: no stream has ended a session here yet. Run spymaster live until a "
            "record after the last window's end has come."
        )
    equal = True
    for name, day in wanted:
        certificate = certify(
            settings,
            name,
            day,
            "vendor" if vendor else "capture",
            chunk_records=chunk or CHUNK_RECORDS,
        )
        for line in certificate.lines():
            tell(line)
        equal = equal and certificate.equal
    if not equal and not vendor:
        raise typer.Exit(1)


@app.command()
def explain(
    vector: Annotated[str, typer.Argument(help="a feature_hash, or its beginning", metavar="HASH")],
    records: Annotated[
        int, typer.Option("--records", "-n", min=0, help="Records to show of the last bar.")
    ] = 10,
    config: Config = None,
    root: Root = None,
) -> None:
    """Where a vector comes from: its numbers, its bars, the records of its last bar.

    Example: spymaster explain 3f2a
    """
    from spymaster.cli.explain import explain_vector

    explain_vector(Settings.load(config, root=root), vector, records)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: Config = None,
    root: Root = None,
) -> None:
    """How every process of this root is: lag, watermark, epochs, gaps, sizes.

    Example: spymaster status
    """
    from spymaster.cli.status import show_status

    show_status(Settings.load(config, root=root), as_json=as_json)
