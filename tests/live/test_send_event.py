"""The user's test event: what the contract allows goes out, all else is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from spymaster.cli.send_event import SCHEMA, check, example, send_event
from spymaster.errors import ContractError
from spymaster.settings import Settings
from tests.live.scenes_live import read_topic
from tests.users_event import EVENT


def test_the_users_event_goes_out_as_it_is_and_with_changes(tmp_path: Path) -> None:
    settings = Settings(root=str(tmp_path / "root"))
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENT))
    send_event(settings, str(file), {})
    send_event(settings, str(file), {"price": 5000.25, "side": None})
    send_event(settings, None, {})
    events = [dict(single.event) for single in read_topic(settings).singles]
    assert events[0] == EVENT
    assert events[1] == {**EVENT, "price": 5000.25}
    assert set(events[2]) == set(EVENT)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"side": "X"}, "side is 'X'"),
    ({"action": None}, "action is null"),
    ({"price": "5000"}, "price is"),
    ({"size": True}, "size is true"),
    ({"event_time": 2**63}, "event_time is"),
    ({"order_id": -(2**63) - 1}, "order_id is"),
    ({"colour": 1}, "colour is no field"),
    ({"symbol": 1.5}, "symbol is 1.5"),
]
RIGHT: list[dict[str, Any]] = [
    {},
    {"price": None},
    {"order_id": 2**64 - 1},
    {"symbol": "ESH6"},
    {"ts_recv": 5, "flags": 128},
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_the_schema_refuses_is_told(change: dict[str, Any], said: str) -> None:
    event = {**EVENT, **change}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(event)
    with pytest.raises(ContractError) as caught:
        check(event, "it")
    print(caught.value)
    assert said in str(caught.value)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize("change", RIGHT)
def test_what_the_schema_allows_is_allowed(change: dict[str, Any]) -> None:
    event = {**EVENT, **change}
    jsonschema.Draft202012Validator(SCHEMA).validate(event)
    check(event, "it")


@pytest.mark.parametrize("name", list(EVENT))
def test_every_missing_field_is_named(name: str) -> None:
    event = {k: v for k, v in example(1).items() if k != name}
    with pytest.raises(ContractError, match=f"{name} is missing"):
        check(event, "it")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"price": NaN}'])
def test_what_is_no_json_object_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(text)
    with pytest.raises(ContractError, match="allowed is one"):
        send_event(Settings(root=str(tmp_path)), str(file), {})
