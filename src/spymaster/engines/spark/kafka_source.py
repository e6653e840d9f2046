"""The bus's settings as Spark's Kafka source takes them: where the brokers are, and who we are.

What `bus/kafka.py` tells librdkafka, told to Kafka's Java client. On Databricks its classes lie
under another name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spymaster.bus.kafka_security import CONNECTION_STRING_USER, scope
from spymaster.bus.secret import connection_string
from spymaster.engines.spark.session import KAFKA
from spymaster.errors import BusError, LakeError
from spymaster.settings import KafkaSettings

_FORMAT = "kafka"
_DATABRICKS = "DATABRICKS_RUNTIME_VERSION"
_COMMON = "org.apache.kafka.common.security"
#: What Azure's own clients read a service principal from.
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_AUTHORITY = "https://login.microsoftonline.com"


def kafka_options(settings: KafkaSettings) -> dict[str, str]:
    """Options of the source for one query; to be handed on at once, they may hold the secret.

    BusError where the secret that the settings name is not there.
    """
    options = {
        "kafka.bootstrap.servers": settings.servers,
        "kafka.client.id": "spymaster",
        # Azure drops connections that were idle for four minutes.
        "kafka.connections.max.idle.ms": "180000",
        "kafka.metadata.max.age.ms": "180000",
    }
    if settings.auth == "none":
        return {**options, "kafka.security.protocol": "PLAINTEXT"}
    options["kafka.security.protocol"] = "SASL_SSL"
    if settings.ca:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.certificates"] = _certificates(settings.ca)
    if settings.auth == "connection_string":
        secret = connection_string(settings).reveal()
        options["kafka.sasl.mechanism"] = "PLAIN"
        options["kafka.sasl.jaas.config"] = _login(
            "plain.PlainLoginModule", username=CONNECTION_STRING_USER, password=secret
        )
        return options
    return {**options, **_entra(settings)}


def _entra(settings: KafkaSettings) -> dict[str, str]:
    """A service principal's log-in; the Java client asks for its tokens itself."""
    tenant, client, secret = (os.environ.get(name, "").strip() for name in _PRINCIPAL)
    if not (tenant and client and secret):
        raise BusError(
            'bus: bus.kafka.auth = "entra" on Spark needs a service principal: '
            f"{', '.join(_PRINCIPAL)} in the driver's environment. Where there is none, use "
            'auth = "connection_string".'
        )
    authority = os.environ.get("AZURE_AUTHORITY_HOST", _AUTHORITY).rstrip("/")
    return {
        "kafka.sasl.mechanism": "OAUTHBEARER",
        "kafka.sasl.jaas.config": _login(
            "oauthbearer.OAuthBearerLoginModule",
            clientId=client,
            clientSecret=secret,
            scope=scope(settings.servers),
        ),
        "kafka.sasl.oauthbearer.token.endpoint.url": f"{authority}/{tenant}/oauth2/v2.0/token",
        "kafka.sasl.login.callback.handler.class": (
            f"{_shade()}{_COMMON}.oauthbearer.OAuthBearerLoginCallbackHandler"
        ),
    }


def _shade() -> str:
    return "kafkashaded." if _DATABRICKS in os.environ else ""


def _login(module: str, **told: str) -> str:
    words = " ".join(f"{k}={_quoted(v)}" for k, v in told.items())
    return f"{_shade()}{_COMMON}.{module} required {words};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _certificates(path: str) -> str:
    """The authorities' certificates themselves: a worker need not have the file."""
    try:
        return Path(path).read_text()
    except OSError as e:
        raise BusError(
            f"bus: bus.kafka.ca = {path!r} cannot be read ({e.strerror or e}). Name a PEM file."
        ) from None


def offsets_json(topic: str, offsets: Mapping[int, int]) -> str:
    """Offsets of a topic's partitions as the source takes them.

    >>> offsets_json("mbo_raw", {0: 5, 1: 7})
    '{"mbo_raw": {"0": 5, "1": 7}}'
    """
    return json.dumps({topic: {str(p): o for p, o in offsets.items()}})


def source(reader: Any, settings: KafkaSettings, topic: str, more: Mapping[str, str]) -> Any:
    """A frame of a topic's messages with their headers; `reader`: `spark.read`, `readStream`.

    LakeError where Spark lacks the source, BusError as `kafka_options`.
    """
    options = {**kafka_options(settings), "subscribe": topic, "includeHeaders": "true", **more}
    try:
        return reader.format(_FORMAT).options(**options).load()
    except Exception as e:
        if "DATA_SOURCE_NOT_FOUND" not in str(e) and "find data source" not in str(e):
            raise
        raise LakeError(
            f"this Spark has no Kafka source. Start it with --packages {KAFKA}, or put its jars "
            "into the folder that SPYMASTER_SPARK_JARS names."
        ) from None
