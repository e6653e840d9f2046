"""A secret's value, taken from where the settings name it, and never shown."""

from __future__ import annotations

import os
from typing import Any, Protocol

from spymaster.bus.scope import PREFIX, from_scope
from spymaster.errors import BusError
from spymaster.settings import KafkaSettings


class Secret:
    """Holds a value that no repr, log line or error text shows; `reveal` gives it to a client."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled; let the other process read it where it lies")


def connection_string(settings: KafkaSettings) -> Secret:
    """The Event Hubs connection string, from Key Vault if one is named, else the environment.

    Raises BusError when it is not there, or is no connection string.
    """
    if settings.vault:
        where = f"{settings.vault} secret {settings.vault_secret}"
        value = from_vault(settings, "bus")
    else:
        where = f"environment variable {settings.connection_string_variable}"
        value = os.environ.get(settings.connection_string_variable, "").strip()
    if not value:
        raise BusError(
            f"bus: {where} is empty. Put the Event Hubs connection string there, or name another "
            "place in [bus.kafka]: connection_string_variable, or vault and vault_secret."
        )
    if not value.startswith("Endpoint=sb://") or "SharedAccessKey=" not in value:
        raise BusError(
            f"bus: {where} holds no connection string; allowed: Endpoint=sb://...;"
            "SharedAccessKeyName=...;SharedAccessKey=... as the portal shows it."
        )
    return Secret(value)


class Vault(Protocol):
    """Where a secret lies: settings of any section that names a vault."""

    @property
    def vault(self) -> str: ...
    @property
    def vault_secret(self) -> str: ...
    @property
    def vault_ca(self) -> str: ...
    @property
    def vault_strict(self) -> bool: ...


def from_vault(settings: Vault, who: str) -> str:
    """A secret's text from Key Vault, or a Databricks scope (databricks://SCOPE).

    BusError, which `who` begins, when it cannot be read.
    """
    if settings.vault.startswith(PREFIX):
        return from_scope(settings.vault, settings.vault_secret, who)
    azure = azure_packages(who)
    client = azure.SecretClient(
        settings.vault,
        azure.DefaultAzureCredential(),
        verify_challenge_resource=settings.vault_strict,
        connection_verify=settings.vault_ca or True,
    )
    try:
        with client:
            return (client.get_secret(settings.vault_secret).value or "").strip()
    except (azure.AzureError, ValueError) as e:
        said = str(e).splitlines()[0]
        raise BusError(
            f"{who}: {settings.vault} secret {settings.vault_secret} cannot be read ({said}). Give "
            "this identity the role Key Vault Secrets User, and look at the vault's URL."
        ) from None


def azure_packages(who: str = "bus") -> Any:
    """The Azure clients, which only some need."""
    try:
        from spymaster.bus import azure
    except ImportError as e:
        raise BusError(
            f"{who}: Azure needs {e.name}. Install it: pip install 'spymaster[azure]'."
        ) from e
    return azure
