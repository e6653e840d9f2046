"""Spark's Kafka source is told what the bus tells its own client, from the same settings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from spymaster.bus.kafka_security import CONNECTION_STRING_USER, Security, scope
from spymaster.engines.spark.kafka_source import kafka_options, offsets_json
from spymaster.errors import BusError
from spymaster.settings import KafkaSettings

SECRET = 'c2VjcmV0"\\'
CONNECTION = f"Endpoint=sb://x/;SharedAccessKeyName=t;SharedAccessKey={SECRET}"
PRINCIPAL = {
    "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "hush",
}  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_EVENT_HUBS", CONNECTION)
    for name in (*PRINCIPAL, "AZURE_AUTHORITY_HOST", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)


def test_without_log_in_both_clients_are_told_the_same() -> None:
    settings = KafkaSettings(servers="a:1,b:2")
    found = kafka_options(settings)
    assert found["kafka.bootstrap.servers"] == "a:1,b:2"
    assert found["kafka.security.protocol"] == Security(settings).config()["security.protocol"]
    assert not any("sasl" in name for name in found)


def test_connection_string_is_the_password_of_both_clients(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    settings = KafkaSettings(servers="x:9093", auth="connection_string", ca=str(ca))
    ours, found = Security(settings).config(), kafka_options(settings)
    assert found["kafka.security.protocol"] == ours["security.protocol"] == "SASL_SSL"
    assert found["kafka.sasl.mechanism"] == ours["sasl.mechanism"] == "PLAIN"
    assert ours["ssl.ca.location"] == str(ca)
    assert found["kafka.ssl.truststore.type"] == "PEM"
    assert found["kafka.ssl.truststore.certificates"] == ca.read_text()
    escaped = CONNECTION.replace("\\", "\\\\").replace('"', '\\"')
    assert ours["sasl.password"] == CONNECTION
    assert found["kafka.sasl.jaas.config"] == (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{CONNECTION_STRING_USER}" password="{escaped}";'
    )


def test_a_service_principal_asks_for_the_same_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRINCIPAL.items():
        monkeypatch.setenv(name, value)
    settings = KafkaSettings(servers="spy.servicebus.windows.net:9093", auth="entra")
    found = kafka_options(settings)
    assert found["kafka.sasl.mechanism"] == "OAUTHBEARER"
    assert f'scope="{scope(settings.servers)}"' in found["kafka.sasl.jaas.config"]
    assert found["kafka.sasl.oauthbearer.token.endpoint.url"] == (
        "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"
    )


def test_on_databricks_the_classes_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    for name, value in PRINCIPAL.items():
        monkeypatch.setenv(name, value)
    plain = kafka_options(KafkaSettings(auth="connection_string"))
    entra = kafka_options(KafkaSettings(servers="x:9093", auth="entra"))
    for told in (
        plain["kafka.sasl.jaas.config"],
        entra["kafka.sasl.jaas.config"],
        entra["kafka.sasl.login.callback.handler.class"],
    ):
        assert told.startswith("kafkashaded.org.apache.kafka.common.security.")


def test_what_is_not_there_is_told_and_no_secret_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BusError, match="AZURE_CLIENT_SECRET"):
        kafka_options(KafkaSettings(auth="entra"))
    with pytest.raises(BusError, match=r"bus\.kafka\.ca = '/nowhere\.pem' cannot be read"):
        kafka_options(KafkaSettings(auth="connection_string", ca="/nowhere.pem"))
    kafka_options(KafkaSettings(auth="connection_string"))
    monkeypatch.delenv("SPYMASTER_EVENT_HUBS")
    with pytest.raises(BusError, match="SPYMASTER_EVENT_HUBS is empty"):
        kafka_options(KafkaSettings(auth="connection_string"))
    assert SECRET not in caplog.text


def test_offsets_are_told_by_topic() -> None:
    assert offsets_json("a", {0: 3, 1: 4}) == '{"a": {"0": 3, "1": 4}}'
