"""The command line as a user meets it: in a process of its own, on files, with its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spymaster
from spymaster.contracts import TABLES, alerts, learning, scores, stream
from spymaster.contracts.column import Table
from spymaster.lake import Lake
from tests.e2e.runner import environment

README = Path(__file__).parents[2] / "README.md"
pytestmark = pytest.mark.slow

#: The demo's live part and its learning part have roots of their own.
STREAMED = {t.name for t in stream.TABLES}
LEARNT = {t.name for t in (*scores.TABLES, *learning.TABLES)}
#: The demo runs no rules.
ALERTED = {t.name for t in alerts.TABLES}
#: What has no value for lack of code: nothing.
TABLES_STILL_EMPTY: set[str] = set()
COLUMNS_STILL_NULL: dict[str, set[str]] = {}
#: Null because nothing of the kind happened in the demo's market.
NOTHING_HAPPENED = {
    "bronze.quarantine": set(TABLES["bronze.quarantine"].names),
    "bronze.gaps": set(TABLES["bronze.gaps"].names),
    "bronze.definitions": {"strike_price", "underlying"},
    "silver.session_summary": {"missing"},
    "lineage": {"epoch"},
    "gold.parity": set(TABLES["gold.parity"].names),
}
#: The same of the live part. A label is known later than its vector travels.
LIVE_NOTHING = {
    "silver.session_summary_stream": {"missing"},
    "gold.setup_vectors_stream": {"label"},
    "gold.parity": {"first"},
}


def command(*arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spymaster", *map(str, arguments)],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=1_800,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("user")
    done = command("demo", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "demo", done.stdout


def test_the_demo_shows_rows_vectors_a_picture_and_where_the_tables_are(
    demo: tuple[Path, str],
) -> None:
    folder, told = demo
    facts = json.loads((folder / "summary.json").read_text())
    lake = Lake(folder / "spymaster-data")
    assert facts["layers"] == {n: lake.open(n).count() for n in lake.existing()}
    for name, rows in facts["layers"].items():
        assert re.search(rf"{re.escape(name)}\s+{rows:,}\b", told), name
    assert facts["events"] == facts["layers"]["bronze.mbo"] > 500_000
    assert {"simulate", "compile", "land", "bronze", "silver and gold"} <= set(facts["seconds"])
    assert all(facts["episodes"][o] > 5 for o in ("BREAK", "REJECT", "CHOP"))
    assert all(facts["directions"][d] > 5 for d in ("FROM_BELOW", "FROM_ABOVE"))
    assert "distance_ticks" in told
    assert str(Path("demo") / "spymaster-data") in told
    picture = (folder / "episode.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > 20_000


def test_the_demo_leaves_a_folder_alone_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    done = command("demo", "thesis", cwd=tmp_path)
    assert done.returncode == 1
    assert "is no earlier demo" in done.stderr
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def _null_columns(lake: Lake, table: Table) -> set[str]:
    if not lake.exists(table.name):
        return set(table.names)
    rows = lake.scan(table.name)
    return {n for n in rows.column_names if rows[n].null_count == rows.num_rows}


def test_no_column_is_null_for_lack_of_code(demo: tuple[Path, str]) -> None:
    lake = Lake(demo[0] / "spymaster-data")
    history = {n: t for n, t in TABLES.items() if n not in STREAMED | LEARNT | ALERTED}
    null = {n: _null_columns(lake, t) for n, t in history.items()}
    empty = {n for n in null if null[n] == set(TABLES[n].names) and n not in NOTHING_HAPPENED}
    assert empty == TABLES_STILL_EMPTY
    rest = {n: c - NOTHING_HAPPENED.get(n, set()) for n, c in null.items() if n not in empty}
    assert {n: c for n, c in rest.items() if c} == COLUMNS_STILL_NULL


def test_the_demo_ends_with_a_live_replay_and_green_certificates(demo: tuple[Path, str]) -> None:
    told = json.loads((demo[0] / "summary.json").read_text())["parity"]
    assert len(told["sessions"]) == 4
    assert all(s["equal"] and s["vectors"] > 500 for s in told["sessions"].values())
    assert told["history"].startswith("equal, ")
    lake = Lake(demo[0] / "live-data")
    streamed = {n: t for n, t in TABLES.items() if n in STREAMED or n == "gold.parity"}
    null = {n: _null_columns(lake, t) - LIVE_NOTHING.get(n, set()) for n, t in streamed.items()}
    assert {n: c for n, c in null.items() if c} == {}


def test_the_demo_learns_passes_the_gate_and_scores_a_day_live(
    demo: tuple[Path, str],
) -> None:
    folder, said = demo
    told = json.loads((folder / "summary.json").read_text())["model"]
    assert all(s["equal"] and s["vectors"] > 100 for s in told["parity"].values())
    assert len(told["parity"]) == 2
    assert (told["model_id"], told["version"]) == ("ES_MODEL", "1")
    assert told["scores"] == told["outcomes"] > 100
    assert told["log_loss"] < told["prior_log_loss"]
    assert "passed  better than the baseline" in said
    lake = Lake(folder / "learning-data")
    days = {r["session_date"] for r in lake.scan("gold.training_view").to_pylist()}
    assert len(days) >= 45
    null = {n: _null_columns(lake, TABLES[n]) for n in LEARNT}
    allowed = {
        "gold.inference_errors_stream": set(TABLES["gold.inference_errors_stream"].names),
        "gold.test_looks": {"champion"},
        "gold.promotions": {"before"},
    }
    left = {n: c - allowed.get(n, set()) for n, c in null.items()}
    assert {n: c for n, c in left.items() if c} == {}


def test_no_vector_number_is_always_missing(demo: tuple[Path, str]) -> None:
    frame = spymaster.scan("gold.setup_vectors", demo[0] / "spymaster-data", named=True)
    names = spymaster.scan("gold.vector_spec", demo[0] / "spymaster-data")["name"].to_list()
    assert len(frame) > 1000
    assert [n for n in names if not frame[n].is_not_nan().any()] == []
    # The simulated book is always two-sided in the window, and no order is older than it.
    constant = {n for n in names if frame[n].n_unique() < 2}
    assert constant <= {"book_time_share", "age_known_ahead", "age_known_behind"}


def test_the_three_lines_of_the_readme_work(
    demo: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    assert len(found.group(1).strip().splitlines()) == 3
    monkeypatch.setenv("SPYMASTER_ROOT", str(demo[0] / "spymaster-data"))
    names: dict[str, object] = {}
    exec(found.group(1), names)
    joined = names["v"]
    assert len(joined) > 1000  # type: ignore[arg-type]
    assert {"known_at", "distance_ticks", "label"} <= set(joined.columns)  # type: ignore[attr-defined]
    matplotlib.pyplot.close("all")


def test_scan_shows_only_sessions_whose_tables_are_all_committed(demo: tuple[Path, str]) -> None:
    root = demo[0] / "spymaster-data"
    lake = Lake(root)
    last = max(lake.scan("lineage").to_pylist(), key=lambda r: r["committed_at"])
    before = spymaster.scan("silver.bar_5s", root)
    lake.append_rows(
        "lineage", [{**last, "status": "started", "committed_at": last["committed_at"] + 1}]
    )
    try:
        during = spymaster.scan("silver.bar_5s", root)
        assert last["session_date"] in set(before["session_date"])
        assert last["session_date"] not in set(during["session_date"])
        assert 0 < len(during) < len(before)
    finally:
        lake.append_rows("lineage", [{**last, "committed_at": last["committed_at"] + 2}])
    assert len(spymaster.scan("silver.bar_5s", root)) == len(before)


def test_diff_says_equal_with_0_and_names_the_difference_with_1(
    demo: tuple[Path, str], tmp_path: Path
) -> None:
    root = demo[0] / "spymaster-data"
    same = command("diff", root, root, "--table", "silver.level_approach_2m", cwd=tmp_path)
    assert (same.returncode, "equal" in same.stdout) == (0, True)
    other = command("diff", root, tmp_path / "nothing", cwd=tmp_path)
    assert other.returncode == 1
    assert "Traceback" not in other.stdout + other.stderr


def test_show_and_tables_and_settings_tell_what_is_there(
    demo: tuple[Path, str], tmp_path: Path
) -> None:
    root = demo[0] / "spymaster-data"
    shown = command(
        "show", "silver.level_approach_2m", "--root", root, "--columns", "outcome,n_vectors",
        cwd=tmp_path,
    )  # fmt: skip
    assert shown.returncode == 0
    assert re.search(r"BREAK|REJECT|CHOP", shown.stdout)
    listed = command("tables", "--root", root, cwd=tmp_path)
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in TABLES)
    settings = command("settings", cwd=tmp_path, SPYMASTER_ROOT="/somewhere")
    assert 'root = "/somewhere"' in settings.stdout
    (tmp_path / "again.toml").write_text(settings.stdout)
    again = command("settings", "--config", "again.toml", cwd=tmp_path)
    assert again.stdout == settings.stdout


def test_simulate_writes_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = command(
            "simulate", name, "--sessions", "1", "--events", "20000", "--seed", "3", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert [p for p in files if p.endswith(".mbo.dbn.zst")]
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


@pytest.mark.parametrize(
    "words",
    [
        ("land",), ("hist", "bronze"), ("hist", "silver"), ("hist", "gold"), ("hist", "run"),
        ("diff",), ("tables",), ("show",), ("settings",), ("simulate",), ("demo",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_verb_has_help_with_an_example(words: tuple[str, ...], tmp_path: Path) -> None:
    done = command(*words, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(rf"Example: spymaster {' '.join(words)}", done.stdout)


def test_version_is_told(tmp_path: Path) -> None:
    assert command("--version", cwd=tmp_path).stdout == f"spymaster {spymaster.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("land", "nowhere.dbn.zst"), "nowhere.dbn.zst"),
        (("hist", "run", "--session", "yesterday"), "YYYY-MM-DD"),
        (("hist", "run", "--session", "2024-01-08"), "Land its file"),
        (("show", "silver.bar_5s"), "no lake lies here yet"),
        (("show", "silver.bars"), "silver.bars is no table"),
        (("tables",), "no lake lies here yet"),
        (("settings", "--config", "none.toml"), "none.toml"),
        (("simulate", "out", "--sessions", "0"), "sessions is 0"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_1(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_day_without_a_session_is_told_with_the_nearest_ones(
    demo: tuple[Path, str], tmp_path: Path
) -> None:
    root = demo[0] / "spymaster-data"
    done = command("hist", "run", "--session", "2023-12-25", "--root", root, cwd=tmp_path)
    assert done.returncode == 1
    assert all(w in done.stderr for w in ("not a session", "2023-12-22", "2023-12-26"))


def test_an_unknown_setting_is_named_with_its_file_and_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "spymaster.toml").write_text("[underlier.ES.approach]\ntouch_tick = 4\n")
    done = command("hist", "run", cwd=tmp_path)
    assert done.returncode == 1
    assert all(w in done.stderr for w in ("touch_tick", "spymaster.toml", "touch_ticks"))
    assert not (tmp_path / "spymaster-data").exists()
