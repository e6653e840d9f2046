"""How a Kafka client proves who it is: nothing, a connection string, or an Entra identity."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from spymaster.bus.secret import Secret, azure_packages, connection_string
from spymaster.settings import KafkaSettings

_log = logging.getLogger(__name__)

#: The user name that tells Event Hubs that the password is a connection string.
CONNECTION_STRING_USER = "$ConnectionString"


class Security:
    """Makes the security part of a client's configuration; its own repr shows no secret."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._secret: Secret | None = None
        self._token: Callable[[str], tuple[str, float]] | None = None
        if settings.auth == "connection_string":
            self._secret = connection_string(settings)
        elif settings.auth == "entra":
            self._token = _entra_token(scope(settings.servers))

    def config(self) -> dict[str, Any]:
        """For one client; to be handed on at once, it may hold the secret."""
        if self._settings.auth == "none":
            return {"security.protocol": "PLAINTEXT"}
        config: dict[str, Any] = {"security.protocol": "SASL_SSL"}
        if self._settings.ca:
            config["ssl.ca.location"] = self._settings.ca
        if self._secret is not None:
            config["sasl.mechanism"] = "PLAIN"
            config["sasl.username"] = CONNECTION_STRING_USER
            config["sasl.password"] = self._secret.reveal()
        else:
            config["sasl.mechanism"] = "OAUTHBEARER"
            config["oauth_cb"] = self._token
        return config


def scope(servers: str) -> str:
    """What a token for Event Hubs is asked for.

    >>> scope("spy.servicebus.windows.net:9093")
    'https://spy.servicebus.windows.net/.default'
    """
    host = servers.split(",")[0].strip().rpartition(":")[0]
    return f"https://{host}/.default"


def _entra_token(wanted: str) -> Callable[[str], tuple[str, float]]:
    credential = azure_packages().DefaultAzureCredential()

    def token(_: str) -> tuple[str, float]:
        try:
            found = credential.get_token(wanted)
        except Exception as e:
            _log.warning("bus: no token for %s (%s)", wanted, str(e).splitlines()[0])
            raise
        return found.token, float(found.expires_on)

    return token
