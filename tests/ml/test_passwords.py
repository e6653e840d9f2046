"""A password in the address of MLflow's store is shown nowhere."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.errors import ModelError
from spymaster.ml.registry import Registry
from spymaster.ml.tracking import Store
from spymaster.settings import Settings
from tests.ml import lakes

SECRET = "s3cret"


def store(settings: Settings) -> None:
    Store(settings, "ES_MODEL")


def registry(settings: Settings) -> None:
    Registry(settings, "ES_MODEL").versions()


@pytest.mark.parametrize("ask", [store, registry])
@pytest.mark.parametrize(
    "uri",
    [
        f"http://mia:{SECRET}@127.0.0.1:1",  # nobody listens there; MLflow tells the whole address
        f"sqlite://mia:{SECRET}@db.example/mlflow",
        f"postgresql://127.0.0.1:1/mlflow?user=mia&password={SECRET}",
    ],
)
def test_an_error_of_the_store_shows_its_address_without_the_password(
    uri: str, ask: Callable[[Settings], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = lakes.settings(tmp_path, ml={"tracking_uri": uri})
    with pytest.raises(ModelError, match="does not answer as it should") as caught:
        ask(settings)
    shown = "".join(traceback.format_exception(caught.value))
    assert uri.replace(SECRET, "***") in str(caught.value)
    assert SECRET not in shown


def test_the_settings_are_shown_without_it(tmp_path: Path) -> None:
    config = tmp_path / "spymaster.toml"
    config.write_text(f'[ml]\ntracking_uri = "https://mia:{SECRET}@ml.example:5000"\n')
    said = CliRunner().invoke(app, ["settings", "--config", str(config)])
    assert said.exit_code == 0
    assert 'tracking_uri = "https://mia:***@ml.example:5000"' in said.output
    assert SECRET not in said.output
