"""`spymaster dashboard --demo`: a simulated day as a live feed, scored where a model is, shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from spymaster.cli.console import engine, tell
from spymaster.cli.learning_demo import MODEL, by_day
from spymaster.cli.market import simulate_shown
from spymaster.cli.processes import Children
from spymaster.contracts.event import NS
from spymaster.errors import LakeError, ModelError
from spymaster.market.sessions import session
from spymaster.ml.learning_market import SETTINGS, STRONG, learning_market, learning_settings
from spymaster.settings import DashboardSettings, Settings

_SESSIONS, _SEED = 3, 11
#: Lies in every folder that the demo made: what it may make anew.
_MARK = ".spymaster-dashboard-demo"


def run_dashboard_demo(
    folder: Path,
    learnt: Path,
    speed: str,
    limits: DashboardSettings,
    serve: Callable[[Settings, Callable[[str], None]], None],
) -> None:
    """Make `folder` anew, play its market's last day into it, and serve the page until a signal.

    `learnt`: the root of an earlier `make demo`; its champion scores the vectors.
    """
    _empty(folder)
    settings = learning_settings(folder / "data").model_copy(update={"dashboard": limits})
    tell(f"a simulated market of {_SESSIONS} sessions: the last will come live at {speed}")
    made = simulate_shown(folder / "market", learning_market(STRONG, _SESSIONS, _SEED))
    days = by_day(made.files)
    date, files = days[-1]
    with engine(settings) as run:
        run.run([path for _, earlier in days[:-1] for path in earlier])
    begin = session(settings.of("ES"), "ES", date).hull.start - 60 * NS
    with Children(SETTINGS) as children:
        _start(children, files, Path(settings.root), speed, begin)
        if _champion(learnt):
            url = children.service(MODEL, learnt)
            told = ("--model", MODEL, "--endpoint", url, "--commit", "2")
            children.start("score", "score", *told, "--root", settings.root)
        else:
            tell(f"no scores: no champion lies in {learnt}; make demo trains one (some minutes)")
        serve(settings, tell)
        tell("ending the feed, the engine and the scoring")


def _start(children: Children, files: Sequence[Path], root: Path, speed: str, begin: int) -> None:
    address = children.gateway(files, speed, begin)
    told = ("--dataset", "GLBX.MDP3", "--root", str(root), "--gateway", address)
    children.start("ingest", "ingest", "--once", *told)
    children.start("live", "live", "--root", str(root), "--commit", "2")


def _champion(learnt: Path) -> bool:
    """Whether a model was promoted under this root."""
    if not (learnt / "ml-artifacts").is_dir():
        return False
    try:
        from spymaster.ml.registry import CHAMPION, Registry

        return Registry(learning_settings(learnt), MODEL).alias(CHAMPION) is not None
    except (ModelError, ModuleNotFoundError):
        return False


def _empty(folder: Path) -> None:
    """Only a folder that this demo made, or an empty one, is made anew. LakeError for another."""
    folder = folder.resolve()
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _MARK).is_file()):
            raise LakeError(
                f"{folder}: is there and is no earlier demo of the dashboard; allowed: a new "
                f"folder, an empty one, or one with the demo's own file {_MARK}. Name another: "
                "spymaster dashboard --demo FOLDER"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).write_text("spymaster dashboard --demo makes this folder anew.\n", "utf-8")
