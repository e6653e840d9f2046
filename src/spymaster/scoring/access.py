"""Who may ask: a key as Azure ML's endpoints take it, or nobody from another machine."""

from __future__ import annotations

import hmac
import ipaddress
import os

from spymaster.bus.secret import Secret, from_vault
from spymaster.errors import BusError, ScoringError
from spymaster.settings import ServingSettings

_SHORTEST = 16


def serving_key(settings: ServingSettings) -> Secret | None:
    """The key clients must send, from Key Vault if one is named, else the environment.

    None: there is none, which only a loopback address allows. Raises ScoringError.
    """
    if settings.vault:
        where = f"{settings.vault} secret {settings.vault_secret}"
        try:
            value = from_vault(settings, "serve")
        except BusError as error:
            raise ScoringError(str(error)) from None
    else:
        where = f"environment variable {settings.key_variable}"
        value = os.environ.get(settings.key_variable, "").strip()
    if not value and (settings.vault or not _loopback(settings.host)):
        raise ScoringError(
            f"serve: {where} is empty; without a key only a loopback address such as 127.0.0.1 is "
            f"allowed, not {settings.host}. Put a key there, or name another place in [serving]: "
            "key_variable, or vault and vault_secret."
        )
    if not value:
        return None
    if len(value) < _SHORTEST or not value.isascii() or not value.isprintable() or " " in value:
        raise ScoringError(
            f"serve: {where} holds no usable key; allowed: {_SHORTEST} or more ASCII characters "
            "without blanks. Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return Secret(value)


def allowed(key: Secret | None, authorization: bytes) -> bool:
    """Whether an Authorization header carries the key; takes as long for any wrong one."""
    if key is None:
        return True
    kind, _, given = authorization.partition(b" ")
    right = hmac.compare_digest(given.strip(), key.reveal().encode())
    return right and kind.lower() == b"bearer"


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
