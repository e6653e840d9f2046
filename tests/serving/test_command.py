"""spymaster serve from the command line: what it refuses, and one run of it as a person would."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from spymaster.cli.app import app
from spymaster.errors import ContractError, ModelError, ScoringError, SpymasterError
from spymaster.scoring.access import allowed, serving_key
from spymaster.settings import ServingSettings, Settings
from tests.serving import models
from tests.serving.running import JSON, KEY, body, probabilities


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPYMASTER_SCORING_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("--model NO", ContractError, "allowed: ES_MODEL, TSLA_MODEL"),
        ("--model ES_MODEL --deploy blue", ContractError, "allowed: NAME=VALUE"),
        ("--model ES_MODEL --deploy a=1 --deploy a=2", ContractError, "each name once"),
        ("--model ES_MODEL --traffic green=100", ContractError, "which is none of deployments"),
        ("--model ES_MODEL --traffic blue=90", ContractError, "adds up to 90, not to 100"),
        ("--model ES_MODEL --traffic blue=much", ContractError, "allowed: percent"),
    ],
)
def test_a_wrong_option_is_refused(given: str, error: type[SpymasterError], words: str) -> None:
    with pytest.raises(error, match=words):
        app(["serve", *given.split()], standalone_mode=False)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("--port 0 --deploy blue=9", ModelError, "no version 9 in .* there are: 1, 2"),
        ("--port 0 --deploy blue=@winner", ModelError, "no version is @winner"),
        ("--port 0 --host 0.0.0.0", ScoringError, "only a loopback address"),
        ("--port 0 --host 203.0.113.7", ScoringError, "only a loopback address"),
    ],
)
def test_a_service_that_cannot_begin_says_why(
    saved: Path, given: str, error: type[SpymasterError], words: str, tmp_path: Path
) -> None:
    config = tmp_path / "spymaster.toml"
    config.write_text(f'[ml]\ntracking_uri = "{models.uri(saved)}"\n')
    with pytest.raises(error, match=words):
        app(["serve", "--model", "ES_MODEL", *given.split()], standalone_mode=False)


def test_a_taken_port_is_told(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "spymaster.toml").write_text(f'[ml]\ntracking_uri = "{models.uri(saved)}"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ScoringError, match=f"cannot listen on 127.0.0.1:{port}"):
            app(["serve", "--model", "ES_MODEL", "--port", port], standalone_mode=False)


def test_a_key_is_long_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServingSettings(host="0.0.0.0")
    for bad in ("short", "with blanks in between", "ümlaut-ümlaut-ümlaut"):
        monkeypatch.setenv(settings.key_variable, bad)
        with pytest.raises(ScoringError, match="no usable key") as caught:
            serving_key(settings)
        assert bad not in str(caught.value)
    monkeypatch.setenv(settings.key_variable, f" {KEY}\n")
    key = serving_key(settings)
    assert key is not None
    assert KEY not in repr(key)
    assert allowed(key, f"bearer {KEY}".encode())
    assert not allowed(key, KEY.encode())


@pytest.mark.parametrize(
    "serving",
    [
        {"deployments": {}},
        {"traffic": {"green": 100}},
        {"deployments": {"a": "1", "b": "2"}, "traffic": {"a": 50, "b": 51}},
        {"vault": "https://x.vault.azure.net"},
        {"port": 70_000},
    ],
)
def test_settings_that_do_not_fit_are_refused(serving: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Settings.model_validate({"serving": serving})


def test_the_command_serves_and_ends(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "spymaster.toml").write_text(f'[ml]\ntracking_uri = "{models.uri(saved)}"\n')
    traffic = ["--deploy", "blue=@champion", "--deploy", "green=2", "--traffic", "blue=0 green=100"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spymaster", "serve", "-m", "ES_MODEL", "--port", "0", *traffic],
            stdout=log, stderr=log, cwd=tmp_path, env={**os.environ, "SPYMASTER_SCORING_KEY": KEY},
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while (found := re.search(r"on (http\S+)", (tmp_path / "log").read_text())) is None:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.05)
        headers = {**JSON, "authorization": f"Bearer {KEY}"}
        answer = httpx.post(found[1], content=body(models.vectors(2)), headers=headers, timeout=60)
        assert probabilities(answer).shape == (2, 3)
        assert answer.headers["x-ms-model-version"] == "2"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "served 1 requests" in (tmp_path / "log").read_text()
