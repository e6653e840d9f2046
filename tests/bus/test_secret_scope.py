"""Secrets of a Databricks scope. Its `dbutils` is no library: a stand-in says what it would."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from spymaster.bus.secret import connection_string
from spymaster.errors import BusError, SourceError
from spymaster.feed.ingest.key import api_key
from spymaster.settings import FeedSettings, KafkaSettings

KEPT = {("trading", "bus"): "Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey=s3cr3t\n"}
SESSION = object()


class DBUtils:
    """As Databricks' own is called: with the session, then `secrets.get` by scope and key."""

    def __init__(self, spark: object) -> None:
        assert spark is SESSION
        self.secrets = SimpleNamespace(get=self._get)

    def _get(self, scope: str, key: str) -> str:
        if (scope, key) not in KEPT:
            raise RuntimeError(f"Secret does not exist with scope: {scope} and key: {key}\nat x")
        return KEPT[scope, key]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyspark.dbutils")
    module.DBUtils = DBUtils  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyspark.dbutils", module)
    monkeypatch.setattr(SparkSession, "getActiveSession", staticmethod(lambda: SESSION))


def of(name: str) -> KafkaSettings:
    return KafkaSettings(auth="connection_string", vault="databricks://trading", vault_secret=name)


def test_secret_comes_from_the_scope_that_the_settings_name(cluster: None) -> None:
    found = connection_string(of("bus"))
    assert found.reveal() == KEPT["trading", "bus"].strip()
    assert "s3cr3t" not in repr(found)


def test_secret_that_the_scope_has_not_is_named_with_what_to_do(cluster: None) -> None:
    with pytest.raises(BusError, match=r"put-secret trading other, .* READ on the scope") as told:
        connection_string(of("other"))
    assert "Secret does not exist" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(SourceError, match="feed: databricks://trading secret key"):
        api_key(FeedSettings(vault="databricks://trading", vault_secret="key"))


def test_scope_elsewhere_than_on_databricks_is_refused() -> None:
    with pytest.raises(BusError, match="only a cluster of Databricks"):
        connection_string(of("bus"))
