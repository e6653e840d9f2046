"""The user's test event onto the topic, checked against its contract first."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from spymaster.bus import open_bus, partition_of
from spymaster.cli.console import tell
from spymaster.contracts.json_schema import json_schema
from spymaster.contracts.topics import MESSAGES
from spymaster.errors import ContractError
from spymaster.feed.topic import TOPIC, Single, encode
from spymaster.settings import Settings

SCHEMA = json_schema(MESSAGES[TOPIC])
_SEE = "docs/schemas/mbo_raw.json has them all"
_KINDS = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}


def example(now: int) -> dict[str, Any]:
    """An event that is accepted as it is; `now` ns UTC."""
    return {
        "event_time": now,
        "ingest_time": now,
        "venue": "GLBX.MDP3",
        "symbol": 12345,
        "instrument_type": "FUT",
        "underlier": "ES",
        "contract_id": "ESH6",
        "action": "T",
        "order_id": 1,
        "side": "B",
        "price": 5000.0,
        "size": 1,
        "sequence": 1,
        "payload": "{}",
    }


def send_event(settings: Settings, source: str | None, changes: Mapping[str, Any]) -> None:
    """Publish one event: of a file, of standard input (-), or the example; with changes."""
    where = "the example" if source is None else "standard input" if source == "-" else source
    event = example(time.time_ns()) if source is None else _read(source, where)
    event = {**event, **{k: v for k, v in changes.items() if v is not None}}
    check(event, where)
    with open_bus(settings) as bus:
        bus.create(TOPIC, settings.bus.partitions)
        partition = partition_of(event["contract_id"], bus.partitions(TOPIC))
        value, headers = encode(Single(event))
        with bus.producer("send-test-event") as producer:
            producer.publish(
                TOPIC, value, partition=partition, key=event["contract_id"], headers=headers
            )
        offset = bus.ends(TOPIC)[partition] - 1
    tell(f"{TOPIC} partition {partition} offset {offset}: {value.decode()}")


def check(event: Mapping[str, Any], where: str) -> None:
    """Raise ContractError for the first thing that the contract does not allow.

    >>> check({**example(1), "side": "X"}, "it")
    Traceback (most recent call last):
    ...
    spymaster.errors.ContractError: it: side is 'X'; allowed: 'B', 'A', 'N'. Correct it.
    """
    allowed: dict[str, dict[str, Any]] = SCHEMA["properties"]
    for name in SCHEMA["required"]:
        if name not in event:
            raise ContractError(
                f"{where}: {name} is missing; needed is every one of "
                f"{', '.join(SCHEMA['required'])}. Add it; {_SEE}."
            )
    for name, value in event.items():
        if name not in allowed:
            raise ContractError(
                f"{where}: {name} is no field of {TOPIC}; allowed: {', '.join(allowed)}. "
                f"Remove it; {_SEE}."
            )
        _check_value(where, name, value, allowed[name])


def _check_value(where: str, name: str, value: Any, rule: Mapping[str, Any]) -> None:
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    fits = any(isinstance(value, _KINDS[k]) for k in kinds if k in _KINDS)
    if not fits or (isinstance(value, bool) and "boolean" not in kinds):
        raise ContractError(
            f"{where}: {name} is {json.dumps(value)}; allowed: {' or '.join(kinds)}. Correct it."
        )
    if "enum" in rule and value not in rule["enum"]:
        listed = ", ".join(map(repr, rule["enum"]))
        raise ContractError(f"{where}: {name} is {value!r}; allowed: {listed}. Correct it.")
    if isinstance(value, int) and "minimum" in rule:
        if not rule["minimum"] <= value <= rule["maximum"]:
            raise ContractError(
                f"{where}: {name} is {value}; allowed: {rule['minimum']} to {rule['maximum']}. "
                "Correct it."
            )
    if name == "price" and isinstance(value, float) and Decimal(repr(value)) % Decimal("1e-9"):
        raise ContractError(
            f"{where}: price is {value!r}; allowed: multiples of 0.000000001. Round it."
        )


def _read(source: str, where: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        event = json.loads(text, parse_constant=_no_number)
    except OSError as error:
        raise ContractError(
            f"{where}: cannot be read ({error.strerror}). Name a file with one JSON object, or -."
        ) from None
    except ValueError as error:
        raise ContractError(
            f"{where}: not JSON ({error}); allowed is one object. Correct it; {_SEE}."
        ) from None
    if not isinstance(event, dict):
        raise ContractError(f"{where}: {type(event).__name__}; allowed is one JSON object; {_SEE}.")
    return event


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number; null stands for it")
