"""Databento's key, from where the settings name it."""

from __future__ import annotations

import os

from spymaster.bus.secret import Secret, from_vault
from spymaster.errors import BusError, SourceError
from spymaster.settings import FeedSettings


def api_key(settings: FeedSettings) -> Secret:
    """The key, from Key Vault if one is named, else the environment; SourceError if none."""
    if settings.vault:
        where = f"{settings.vault} secret {settings.vault_secret}"
        try:
            value = from_vault(settings, "feed")
        except BusError as error:
            raise SourceError(str(error)) from None
    else:
        where = f"environment variable {settings.key_variable}"
        value = os.environ.get(settings.key_variable, "").strip()
    if len(value) < 5:
        raise SourceError(
            f"feed: {where} holds no key; allowed is a key of Databento's, or any text of 5 "
            "characters or more for a replay gateway without a key. Put it there, or name another "
            "place in [feed]: key_variable, or vault and vault_secret."
        )
    return Secret(value)
