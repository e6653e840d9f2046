"""Documents that are made from declarations: written, or checked that none is stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spymaster.errors import ContractError


@dataclass(frozen=True)
class Generated:
    """Files of a folder. `texts` makes them: path under the folder -> its text.

    `ours` finds those that were made here before, also such as are made no longer. `command`
    writes them; `source` is what they are made from.
    """

    folder: Path
    command: str
    source: str
    texts: Callable[[], Mapping[str, str]]
    ours: Callable[[Path], Iterable[Path]]

    def stale(self, folder: Path | None = None) -> list[str]:
        """The files that are missing, out of date, or no longer made."""
        folder, texts = folder or self.folder, self.texts()
        old = {p.relative_to(folder).as_posix() for p in self.ours(folder)} - texts.keys()
        return sorted(old | {path for path, text in texts.items() if _read(folder / path) != text})

    def write(self, folder: Path | None = None) -> list[str]:
        """Bring a folder up to date; returns the paths that changed."""
        folder, texts = folder or self.folder, self.texts()
        changed = self.stale(folder)
        for path in changed:
            target = folder / path
            if path not in texts:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(texts[path], "utf-8")
        return changed

    def check(self, folder: Path | None = None) -> None:
        """Raise ContractError when a file is stale."""
        if old := self.stale(folder):
            raise ContractError(
                f"{folder or self.folder}: {', '.join(old)} differ from the {self.source}. "
                f"Write them with: {self.command}"
            )

    def main(self, arguments: list[str] | None = None) -> int:
        """Write the files, or with --check say which are stale (exit code 1)."""
        parser = argparse.ArgumentParser(prog=self.command, description=Generated.main.__doc__)
        parser.add_argument("--check", action="store_true", help="write nothing; fail when stale")
        parser.add_argument(
            "--folder", "--docs", type=Path, default=self.folder, help="default: %(default)s"
        )
        options = parser.parse_args(arguments)
        if not options.check:
            changed = self.write(options.folder)
            sys.stdout.write(f"{options.folder}: {', '.join(changed) or 'up to date'}\n")
            return 0
        try:
            self.check(options.folder)
        except ContractError as e:
            sys.stderr.write(f"{e}\n")
            return 1
        return 0


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None
