"""The bus: embedded or Kafka."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import model_validator

from spymaster.settings.base import AtLeastOne, Frozen, Name, Positive, secret_in_vault_has_a_name


class EmbeddedBusSettings(Frozen):
    """How long the embedded bus keeps messages that every group has read; sizes per topic."""

    keep_hours: Positive = 24.0
    keep_bytes: AtLeastOne = 4_000_000_000
    max_bytes: AtLeastOne = 16_000_000_000


class KafkaSettings(Frozen):
    """Where the brokers are, and how to prove who we are. Secrets are named, never given."""

    servers: Name = "localhost:9092"
    auth: Literal["none", "connection_string", "entra"] = "none"
    ca: str = ""
    connection_string_variable: str = "SPYMASTER_EVENT_HUBS"
    vault: str = ""
    vault_secret: str = ""
    vault_ca: str = ""
    vault_strict: bool = True
    compression: Literal["none", "gzip"] = "none"
    create_topics: bool = True

    _secret = model_validator(mode="after")(secret_in_vault_has_a_name)


class BusSettings(Frozen):
    """Which bus, how topics are cut, and how long a producer waits for room, a lock or a broker."""

    kind: Literal["embedded", "kafka"] = "embedded"
    partitions: AtLeastOne = 1
    max_message_bytes: AtLeastOne = 1_000_000
    buffer_bytes: AtLeastOne = 8_000_000
    wait_s: Positive = 60.0
    embedded: EmbeddedBusSettings = EmbeddedBusSettings()
    kafka: KafkaSettings = KafkaSettings()

    @model_validator(mode="after")
    def _sizes_nest(self) -> BusSettings:
        sizes = {
            "max_message_bytes": self.max_message_bytes,
            "buffer_bytes": self.buffer_bytes,
            "embedded.keep_bytes": self.embedded.keep_bytes,
            "embedded.max_bytes": self.embedded.max_bytes,
        }
        names = list(sizes)
        for small, large in pairwise(names):
            if sizes[small] > sizes[large]:
                raise ValueError(f"{small} {sizes[small]} is above {large} {sizes[large]}")
        if self.embedded.max_bytes - self.embedded.keep_bytes < self.buffer_bytes:
            raise ValueError("embedded.max_bytes leaves no room for buffer_bytes above keep_bytes")
        return self
