"""Where the vendor's real data lies; tests that need it are skipped where it is absent."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """`SPYMASTER_TEST_DATA`, else `shared/data` beside the checkout."""
    return Path(os.environ.get("SPYMASTER_TEST_DATA") or REPOSITORY.parent / "shared" / "data")


def real(name: str) -> Path:
    """A file of the real data, by its path in the folder; skips the test if it is not there."""
    path = folder() / name
    if not path.exists():
        pytest.skip(f"real data is absent: {path} (set SPYMASTER_TEST_DATA to its folder)")
    return path


def es_mbo(day: date | str = "20231225") -> Path:
    """Real CME MBO of ESH4 (GLBX.MDP3, DBN v1, instrument 17077): 2023-12-24 or 2023-12-25."""
    digits = day if isinstance(day, str) else f"{day:%Y%m%d}"
    return real(f"es-mbo/esh4-glbx-mdp3-{digits.replace('-', '')}.mbo.dbn.zst")


def es_definitions(kind: str) -> Path:
    """Real CME definitions (DBN v1): `fut`, `futspread` or `opt`."""
    return real(f"es-definitions/definition-glbx-es-{kind}.dbn.zst")
