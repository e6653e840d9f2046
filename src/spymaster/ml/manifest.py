"""What a dataset snapshot says of itself: checksums, counts, and what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from spymaster.errors import ModelError
from spymaster.ml.content import checksum
from spymaster.ml.folder import FrozenFolder, sha256_of
from spymaster.ml.frozen_files import MANIFEST

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The manifest of a snapshot.

    `about`, `sessions` and `columns` are its content, which `checksum` names; `files` are the bytes
    that hold it; `counts` tells how much; `made_from` tells how we came by it, and is no content.
    """

    version: int
    run_date: str
    checksum: str
    about: dict[str, Any]
    counts: dict[str, Any]
    sessions: dict[str, dict[str, Any]]
    columns: dict[str, str]
    files: dict[str, dict[str, Any]]
    made_from: dict[str, Any]

    @property
    def content(self) -> dict[str, Any]:
        return {"about": self.about, "sessions": self.sessions, "columns": self.columns}

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()

    def verify(self, folder: FrozenFolder) -> None:
        """Raise ModelError naming the first file that is not as it was frozen."""
        todo = "Remove the folder and take the snapshot again, or restore it from a copy."
        if checksum(self.about, self.sessions, self.columns) != self.checksum:
            raise ModelError(f"{folder.path / MANIFEST}: does not match its checksum. {todo}")
        for name, facts in self.files.items():
            path = folder.path / name
            if not path.is_file():
                raise ModelError(f"{path}: is gone. {todo}")
            if (found := sha256_of(path)) != facts["sha256"]:
                raise ModelError(
                    f"{path}: has sha256 {found}, the manifest says {facts['sha256']}: it was "
                    f"changed after it was frozen. {todo}"
                )


def read_manifest(folder: FrozenFolder) -> Manifest:
    """The manifest in a folder; ModelError for none, or one that cannot be read."""
    todo = "Remove the folder and take the snapshot again."
    raw = folder.read(MANIFEST)
    if raw is None:
        raise ModelError(f"{folder.path}: has no {MANIFEST}, so it is no snapshot. {todo}")
    try:
        values = json.loads(raw)
        if values["version"] != VERSION:
            raise ModelError(
                f"{folder.path / MANIFEST}: version {values['version']}; allowed: {VERSION}. Read "
                "it with the spymaster that wrote it."
            )
        return Manifest(**values)
    except (ValueError, TypeError, KeyError) as e:
        raise ModelError(f"{folder.path / MANIFEST}: cannot be read ({e}). {todo}") from None
