"""`spymaster ml snapshot` and `spymaster ml split`, as a person types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from spymaster.cli import app
from spymaster.errors import SpymasterError
from tests.e2e.runner import environment
from tests.ml import lakes

SHARES = """
[ml.split]
min_train = 5
min_validation = 1
min_test = 1
"""


def type_in(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_snapshot_then_split(root: Path, tmp_path: Path) -> None:
    named = ("--model", "ES_MODEL", "--run-date", "2024-01-23", "--root", str(root))
    made = type_in("ml", "snapshot", *named)
    assert made.exit_code == 0, made.output
    assert "left out  30 rows of sessions on or after the run date (1 session)" in made.output
    assert "330 vectors of 66 episodes" in made.output
    assert "in 11 sessions, 2024-01-08 to 2024-01-22" in made.output
    assert "298 features" in made.output
    assert "2024-01-23: frozen, checksum " in made.output
    again = type_in("ml", "snapshot", *named)
    assert "already there, the same content" in again.output

    config = tmp_path / "spymaster.toml"
    config.write_text(SHARES)
    cut = type_in("ml", "split", *named, "--config", str(config))
    assert cut.exit_code == 0, cut.output
    lines = [line.split() for line in cut.output.splitlines()]
    assert lines[0][:6] == ["part", "from", "to", "sessions", "vectors", "episodes"]
    assert lines[0][6:] == ["BREAK", "REJECT", "CHOP"]
    train = next(line for line in lines if line[0] == "train")
    assert train[1:6] == ["2024-01-08", "2024-01-12", "5", "150", "30"]
    assert sum(int(n) for n in train[6:]) == 30
    parts = ("train", "validation", "test", "embargo")
    assert sum(int(line[-6]) for line in lines if line[0] in parts) == 11
    assert sum(line[0] == "fold" for line in lines) == 6
    assert "written beside the snapshot" in cut.output
    again = type_in("ml", "split", *named, "--config", str(config))
    assert "already there, the same" in again.output

    few = type_in("ml", "split", *named)
    assert isinstance(few.exception, SpymasterError)
    assert "11 sessions have rows, and 20 are needed" in str(few.exception)


def test_bad_words_are_told_in_one_line(root: Path) -> None:
    for words, said in (
        (("--model", "ES_MODEL", "--run-date", "monday"), "not a date; allowed: YYYY-MM-DD"),
        (("--model", "ES_MODEL", "--run-date", ""), "is empty"),
        (("--model", "SPY", "--run-date", "2024-01-20"), "is no model of these settings"),
        (("--model", "ES_MODEL", "--run-date", "2999-01-01"), "has not begun"),
    ):
        found = type_in("ml", "snapshot", *words, "--root", str(root))
        assert found.exit_code == 1
        assert isinstance(found.exception, SpymasterError)
        assert said in str(found.exception)


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mlflow", "sklearn", "lightgbm", "hyperopt"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from spymaster.cli import main
from spymaster.errors import ModelError
from spymaster.ml.baseline import Baseline
from spymaster.ml.dataset import load
import datetime as dt
words = "spymaster ml snapshot -m ES_MODEL --run-date 2024-01-23 -r".split()
sys.argv = [*words, sys.argv[1]]
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
data = load(sys.argv[-1], "ES_MODEL", dt.date(2024, 1, 23))
try:
    Baseline.fit(data)
except ModelError as e:
    print(e)
"""


def test_a_snapshot_needs_no_extra_and_a_model_says_which(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(root)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "frozen, checksum" in ended.stdout
    assert "sklearn is not installed" in ended.stdout
    assert "install spymaster with its extra [ml]" in ended.stdout
    assert lakes.CONTRACT not in ended.stderr
