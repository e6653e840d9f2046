"""The split of a snapshot, written beside it, once."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import Any

from spymaster.errors import ModelError
from spymaster.ml.dataset import open_snapshot
from spymaster.ml.split import Fold, Split, split
from spymaster.settings import SplitSettings

SPLIT = "split.json"
VERSION = 1


def freeze_split(
    root: str | Path, model_id: str, run_date: dt.date, settings: SplitSettings | None = None
) -> tuple[Split, bool]:
    """Split a snapshot's sessions and write `split.json` beside it; False: it was there, the same.

    Raises ModelError for too few sessions, and where another split is there already: what was
    trained on it must stay what it was.
    """
    folder, manifest = open_snapshot(root, model_id, run_date)
    how = settings or SplitSettings()
    made = split((dt.date.fromisoformat(day) for day in manifest.sessions), how)
    form = {
        "version": VERSION,
        "checksum": manifest.checksum,
        "settings": how.model_dump(mode="json"),
        **to_json(made),
    }
    data = (json.dumps(form, indent=1) + "\n").encode()
    if folder.add(SPLIT, data, uuid.uuid4().hex):
        return made, True
    there = _read(folder.path / SPLIT, folder.read(SPLIT) or b"", manifest.checksum)
    if there["settings"] != form["settings"] or from_json(there) != made:
        changed = [k for k, v in form["settings"].items() if there["settings"].get(k) != v]
        raise ModelError(
            f"{folder.path / SPLIT}: is there already with other "
            f"{', '.join(changed) or 'sessions'}. A split is never changed. Set [ml.split] back, "
            "or take a snapshot under another --run-date."
        )
    return made, False


def load_split(root: str | Path, model_id: str, run_date: dt.date) -> Split:
    """The split beside a snapshot; ModelError when there is none, or it is another snapshot's."""
    folder, manifest = open_snapshot(root, model_id, run_date)
    raw = folder.read(SPLIT)
    if raw is None:
        raise ModelError(
            f"{folder.path}: has no {SPLIT}. Make it with: spymaster ml split --model {model_id} "
            f"--run-date {run_date}"
        )
    return from_json(_read(folder.path / SPLIT, raw, manifest.checksum))


def _read(path: Path, raw: bytes, checksum: str) -> dict[str, Any]:
    todo = "Remove the file and make it again with: spymaster ml split"
    try:
        values = dict(json.loads(raw))
        from_json(values)
    except (ValueError, KeyError, TypeError) as e:
        raise ModelError(f"{path}: cannot be read ({e!r}). {todo}") from None
    if values.get("version") != VERSION or values.get("checksum") != checksum:
        raise ModelError(
            f"{path}: is version {values.get('version')} of the snapshot {values.get('checksum')}; "
            f"allowed: version {VERSION} of {checksum}. {todo}"
        )
    return values


def to_json(made: Split) -> dict[str, Any]:
    """A split as JSON values."""
    return {
        **{name: _texts(getattr(made, name)) for name in _PARTS},
        "folds": [{"fit": _texts(f.fit), "judge": _texts(f.judge)} for f in made.folds],
    }


def from_json(values: dict[str, Any]) -> Split:
    """The split that `to_json` told."""
    folds = tuple(Fold(_dates(f["fit"]), _dates(f["judge"])) for f in values["folds"])
    return Split(**{name: _dates(values[name]) for name in _PARTS}, folds=folds)


_PARTS = ("train", "validation", "test", "embargo")


def _texts(days: tuple[dt.date, ...]) -> list[str]:
    return [day.isoformat() for day in days]


def _dates(texts: list[str]) -> tuple[dt.date, ...]:
    return tuple(dt.date.fromisoformat(text) for text in texts)
