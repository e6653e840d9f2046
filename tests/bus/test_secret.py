"""Where the connection string comes from, and that nobody gets to see it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from spymaster.bus.secret import Secret, connection_string
from spymaster.errors import BusError, ContractError
from spymaster.settings import KafkaSettings, Settings
from tests.bus.broker import CONNECTION
from tests.bus.certificate import certificate
from tests.bus.cloud import Server, identity, identity_variables, vault


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


@pytest.fixture
def key_vault(keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with identity() as who, vault(keys[1]) as server:
        for name, value in identity_variables(who).items():
            monkeypatch.setenv(name, value)
        server.secrets["bus"] = CONNECTION
        yield server


def settings(server: Server, keys: tuple[Path, Path], **more: object) -> KafkaSettings:
    return KafkaSettings.model_validate(
        {
            "auth": "connection_string",
            "vault": f"https://localhost:{server.port}",
            "vault_secret": "bus",
            "vault_ca": str(keys[0]),
            "vault_strict": False,
            **more,
        }
    )


def test_connection_string_lies_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_EVENT_HUBS", CONNECTION + "\n")
    assert connection_string(KafkaSettings()).reveal() == CONNECTION


def test_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(BusError, match="environment variable ABSENT is empty"):
        connection_string(KafkaSettings(connection_string_variable="ABSENT"))


def test_value_that_is_no_connection_string_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPYMASTER_EVENT_HUBS", "hunter2")
    with pytest.raises(BusError, match="holds no connection string") as caught:
        connection_string(KafkaSettings())
    assert "hunter2" not in str(caught.value)


def test_secret_shows_its_value_to_nobody_but_a_client() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_key_vault_gives_the_secret_to_a_managed_identity(
    key_vault: Server, keys: tuple[Path, Path]
) -> None:
    assert connection_string(settings(key_vault, keys)).reveal() == CONNECTION
    assert key_vault.asked == ["bus"]
    assert key_vault.tokens[0] is None
    assert (key_vault.tokens[-1] or "").startswith("Bearer ey")


def test_key_vault_is_checked_strictly_unless_told_otherwise(
    key_vault: Server, keys: tuple[Path, Path]
) -> None:
    assert KafkaSettings().vault_strict
    with pytest.raises(BusError, match="challenge resource"):
        connection_string(settings(key_vault, keys, vault_strict=True))
    assert key_vault.asked == []


def test_key_vault_whose_certificate_nobody_signed_is_refused(
    key_vault: Server, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(BusError, match=r"cannot be read .*(?i:certificate)"):
        connection_string(settings(key_vault, keys, vault_ca=""))
    assert key_vault.tokens == []


def test_key_vault_without_the_secret_is_named(key_vault: Server, keys: tuple[Path, Path]) -> None:
    with pytest.raises(BusError, match=r"secret other cannot be read \(.*SecretNotFound"):
        connection_string(settings(key_vault, keys, vault_secret="other"))


def test_vault_without_the_name_of_a_secret_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "spymaster.toml"
    file.write_text('[bus.kafka]\nvault = "https://v.vault.azure.net"')
    with pytest.raises(ContractError, match="vault and vault_secret go together"):
        Settings.load(file)
