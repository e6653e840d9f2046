"""The image cannot be built in a test; what it names must be there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from spymaster.cli.app import app
from spymaster.engines.warm import warm_up

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "infra/containers/Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{name} ")]


def test_it_copies_files_that_exist_and_installs_extras_that_exist() -> None:
    copied = [word for line in instructions("COPY") for word in shlex.split(line)[:-1]]
    assert len(copied) >= 5
    for name in copied:
        assert (REPOSITORY / name).exists(), name
    (extras,) = re.findall(r"pip install .*'\.\[(.+)\]'", TEXT)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    readme = {project["readme"], *project["license-files"]}
    assert readme <= set(copied)


def test_python_is_pinned_and_the_user_is_not_root() -> None:
    (image,) = instructions("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", image)
    (user,) = instructions("USER")
    assert user == "spymaster"
    assert f"useradd --system --uid 10001 --home-dir /data {user}" in TEXT


def test_what_it_runs_is_a_verb_with_these_options() -> None:
    (entry,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")[-1:]
    assert entry == '["spymaster"]'
    words = re.findall(r'"([^"]+)"', command)
    shown = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    for option in [w for w in words if w.startswith("--")]:
        assert option in shown.output
    assert callable(warm_up)
    assert "from spymaster.engines.warm import warm_up" in TEXT
