"""The vector's spec: every knob and every name, as one canonical text with one hash."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.kernel.features import CONTEXT, FEATURES, NOW, SERIES, STATISTICS, WINDOWS
from spymaster.settings import UnderlierSettings

VERSION = 2


def lookback_spec(settings: UnderlierSettings) -> str:
    """Canonical JSON of all that decides what a vector means: windows, rule, layout.

    `lookback` names its features `{series}_{statistic}_{window}`, series first.
    """
    values = settings.model_dump(mode="json")
    return json.dumps(
        {
            "approach": values["approach"],
            "windows": values["windows"],
            "calendar": values["calendar"],
            "boundary": values["boundary"],
            "bar_ns": BAR_NS,
            "lateness_ns": LATENESS_NS,
            "vector": {
                "version": VERSION,
                "size": len(FEATURES),
                "now": [name for name, _, _ in NOW],
                "lookback": {
                    "series": [name for name, _, _ in SERIES],
                    "windows": list(WINDOWS),
                    "statistics": list(STATISTICS),
                },
                "context": [name for name, _, _ in CONTEXT],
            },
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def spec_hash(spec: str) -> str:
    """BLAKE2b-128 of a lookback_spec, in hexadecimal."""
    return blake2b(spec.encode(), digest_size=16).hexdigest()


def vector_spec_rows(spec: str) -> list[dict[str, Any]]:
    """The rows of gold.vector_spec: one per number of the vector."""
    return [
        {
            "spec_hash": spec_hash(spec),
            "position": i,
            "name": f.name,
            "block": f.block,
            "unit": f.unit,
            "meaning": f.meaning,
            "lookback_spec": spec,
        }
        for i, f in enumerate(FEATURES)
    ]
