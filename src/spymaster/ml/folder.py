"""A folder that appears whole or not at all, and is never changed: where frozen files lie.

The one place of the package that touches the disk for them. Local roots only so far.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spymaster.engines.lease import Lease
from spymaster.errors import LakeError
from spymaster.lake.place import Place, fsync

_STAGE = ".making-"


class FrozenFolder:
    """A folder under a root, by relative path: made once under another name, then renamed."""

    def __init__(self, place: Place, path: str) -> None:
        if place.local is None:
            raise LakeError(
                f"{place.uri(path)}: frozen data are kept under a local root only. "
                "Name a folder with --root, and copy ml-artifacts from there."
            )
        self._place, self._relative = place, path
        self.path = place.local / path

    def exists(self) -> bool:
        return self.path.is_dir()

    @contextmanager
    def held(self, pipeline: str, owner: str, now: Callable[[], int]) -> Iterator[None]:
        """Be the only one to make folders beside this one; what a killed maker left is removed.

        `pipeline` names the lease. Raises LakeError where another process holds it.
        """
        with Lease(self._place, owner, now, pipeline) as lease:
            self._place.make_folder(self._relative.rpartition("/")[0])
            for left in self.path.parent.glob(f"{_STAGE}*"):
                shutil.rmtree(left)
            lease.swept()
            yield

    @contextmanager
    def making(self, owner: str) -> Iterator[Path]:
        """A folder to fill; it becomes this one, durably, when the block ends without an error."""
        stage = self.path.parent / f"{_STAGE}{owner}"
        try:
            stage.mkdir(parents=True)
            yield stage
            for file in sorted(stage.iterdir()):
                fsync(file)
            fsync(stage)
            stage.rename(self.path)
            fsync(self.path.parent)
        except OSError as e:
            raise LakeError(f"{self.path}: cannot be written ({e.strerror or e}).") from e
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None if there is none."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def add(self, name: str, data: bytes, owner: str) -> bool:
        """Put one more file beside the others, whole and durable; False where the name is taken."""
        temporary = self.path / f".{name}.{owner}"
        try:
            temporary.write_bytes(data)
            fsync(temporary)
            os.link(temporary, self.path / name)
            fsync(self.path)
        except FileExistsError:
            return False
        except OSError as e:
            raise LakeError(f"{self.path / name}: cannot be written ({e.strerror or e}).") from e
        finally:
            temporary.unlink(missing_ok=True)
        return True


def sha256_of(path: Path) -> str:
    """A file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
