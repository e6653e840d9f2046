"""Secrets of a Databricks secret scope, which a job's cluster reads by `dbutils`."""

from __future__ import annotations

import importlib
from typing import Any

from spymaster.errors import BusError

#: In place of a Key Vault's URL: databricks://SCOPE, and the secret's name beside it.
PREFIX = "databricks://"


def from_scope(vault: str, secret: str, who: str) -> str:
    """A secret's text from a scope; BusError, which `who` begins, when it cannot be read."""
    scope = vault.removeprefix(PREFIX).strip("/")
    try:
        value = _dbutils(who).secrets.get(scope=scope, key=secret)
    except BusError:
        raise
    except Exception as e:  # the JVM's, the client's: each release has others
        said = (str(e).splitlines() or [type(e).__name__])[0]
        raise BusError(
            f"{who}: {vault} secret {secret} cannot be read ({said}). Make it with: databricks "
            f"secrets put-secret {scope} {secret}, and give the job's identity READ on the scope."
        ) from None
    return str(value or "").strip()


def _dbutils(who: str) -> Any:
    try:
        sql = importlib.import_module("pyspark.sql")
        module = importlib.import_module("pyspark.dbutils")
    except ModuleNotFoundError:
        raise BusError(
            f"{who}: {PREFIX} names a secret scope, which only a cluster of Databricks has. Name "
            "a Key Vault's URL, or leave vault empty and set the environment variable."
        ) from None
    session = sql.SparkSession.getActiveSession() or sql.SparkSession.builder.getOrCreate()
    return module.DBUtils(session)
