"""What lies in `features_gold` is what lies in the tables, and is as its schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from spymaster.bus import open_bus
from spymaster.contracts.json_schema import json_schema
from spymaster.contracts.topics import MESSAGES
from spymaster.engines.stream.features import TOPIC
from spymaster.engines.stream.live import LiveEngine
from tests.e2e.scenes import SHORT, market, rows, short
from tests.live.posting import post

TABLES = {
    "vector": "gold.setup_vectors_stream",
    "outcome": "gold.labels_stream",
    "series": "gold.feature_series_stream",
    "book": "silver.orderbook_state_stream",
    "level": "silver.session_levels_stream",
}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float) and value != value:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def test_every_message_is_its_row_and_fits_its_schema(tmp_path: Path) -> None:
    settings = short(tmp_path / "root")
    files = market(tmp_path / "market", 1, 4_000, SHORT, options=10, option_events_per_session=500)
    with open_bus(settings) as bus:
        post(bus, settings, files, 200)
        LiveEngine(settings, bus, quiet_s=0.3, intent_records=500, commit_s=0.3).run()
        ends = bus.ends(TOPIC)
        with bus.reader(TOPIC, dict.fromkeys(ends, 0)) as reader:
            found = []
            while len(found) < sum(ends.values()):
                found += reader.poll()
    told: dict[str, list[str]] = {kind: [] for kind in TABLES}
    for kind, lines in told.items():
        schema = json_schema(MESSAGES[f"features_gold.{kind}"])
        validator = jsonschema.Draft202012Validator(schema)
        for m in found:
            if m.headers["kind"] == kind:
                row = json.loads(m.value)
                validator.validate(row)
                assert m.key == row["contract_id"]
                lines.append(json.dumps(row, sort_keys=True))
    assert len(told["vector"]) > 20
    assert len(told["outcome"]) > 20
    assert len(told["series"]) == len(told["book"]) > 400
    assert len(told["level"]) > 2
    for kind, name in TABLES.items():
        stored = [
            json.dumps({k: plain(v) for k, v in row.items()}, sort_keys=True)
            for row in rows(tmp_path / "root", name)
        ]
        assert sorted(told[kind]) == sorted(stored)
