"""What a dead pipeline left in a table that others write to as well goes; theirs stays."""

from __future__ import annotations

from pathlib import Path

from spymaster.lake import Lake, delta
from spymaster.lake.sweep import sweep

SHARED, OWN = "gold.vector_spec", "silver.bar_5s_stream"
DEAD, OTHER = "a" * 32, "b" * 32


def left(root: Path, table: str, tag: str) -> list[Path]:
    """A file of rows and the commit that was to name it, as a run leaves them that is killed."""
    folder = root / delta.folder(Lake(root).table(table))
    rows = folder / f"{0:020}-{tag}-{'0' * 32}.zstd.parquet"
    commit = folder / "_delta_log" / f"{1:020}.json#{tag[0]}"
    rows.write_bytes(b"rows")
    commit.write_text(f'{{"add":{{"path":"{rows.name}"}}}}\n')
    return [rows, commit]


def test_only_what_names_the_dead_goes_from_a_shared_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for name in (SHARED, OWN):
        lake.create(name)
    gone = [*left(tmp_path, SHARED, DEAD), *left(tmp_path, OWN, DEAD)]
    kept = left(tmp_path, SHARED, OTHER)
    assert sweep(lake, [DEAD], [OWN], loose=False) == len(gone)
    assert not any(p.exists() for p in gone)
    assert all(p.exists() for p in kept)
