"""Damage on the disk: found, told without a traceback, and mended to the rows of before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import spymaster
from spymaster.cli import app
from spymaster.contracts import TABLES, stream
from spymaster.errors import LakeError
from spymaster.lake import Lake, delta, read
from spymaster.lake.diff import diff
from tests.e2e.runner import loose
from tests.e2e.scenes import NIGHT, configured, market, mbo, records, rewrite, run

#: What a run reads before it knows what to mend: without --verify it ends with what to do.
READ_FIRST = {
    "bronze.manifest", "bronze.definitions", "lineage", "silver.session_summary",
    "silver.contract_day",
}  # fmt: skip
#: Written, and read by no run: looked at with --verify.
ONLY_VERIFIED = {"gold.vector_spec"}
#: A stream's tables have a pipeline of their own.
WRITTEN = [n for n in TABLES if not n.endswith(stream.SUFFIX)]
ELSEWHERE = {"bronze.stream", "gold.parity", "gold.test_looks", "gold.promotions"}
WRITTEN = [n for n in WRITTEN if n not in ELSEWHERE]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evenings over two UTC days each: the first day is lacking, the third holds foreign records,
    the last ends in damage, and one session is whole: every table has rows."""
    out = tmp_path_factory.mktemp("damage")
    files = market(out / "m", sessions=3, events=2_500, windows=NIGHT, first=date(2024, 1, 9),
                   contracts=1)  # fmt: skip
    lacking, _, third, last = mbo("mbo", files)[:4]
    foreign = records(third)
    # Late in the day: the session that ends in the morning stays whole.
    foreign["instrument_id"][len(foreign) * 4 // 5 :: 50] = 999
    rewrite(third, third, foreign)
    plain = rewrite(last, last, records(last), compress=False)
    plain.write_bytes(plain.read_bytes()[: -56 * 20 - 13])
    given = [f for f in files if f != lacking]
    spymaster_root = out / "calm"
    run(configured(spymaster_root, NIGHT), given)
    (out / "spymaster.toml").write_text(configured(spymaster_root, NIGHT).to_toml())
    lake = Lake(spymaster_root)
    empty = [n for n in WRITTEN if not lake.exists(n) or not lake.count(n)]
    assert empty == []
    return spymaster_root


def flipped(path: Path) -> None:
    """One bit of the first column's data page."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    end = min(o for o in (column.dictionary_page_offset, column.data_page_offset) if o)
    data[end + column.total_compressed_size - 1] ^= 0x10
    path.write_bytes(bytes(data))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def invoke(*given: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(g) for g in given])
    if isinstance(done.exception, LakeError):  # what main() prints as one line
        return 1, f"error: {done.exception}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def victim(root: Path, name: str) -> Path:
    """A file that the log names, of a session that is whole where there is one."""
    paths = sorted(read.files(Lake(root).open(name))["path"].to_pylist())
    return root / delta.folder(TABLES[name]) / paths[-1]


def cases() -> list[tuple[tuple[str, ...], Callable[[Path], None]]]:
    """Every table with a flipped bit and with one of three losses, several tables at a time.

    In `make soak` each table alone, with all three losses.
    """
    if "SPYMASTER_SOAK" in os.environ:
        return [
            ((name,), how) for name in WRITTEN for how in (flipped, halved, Path.unlink, emptied)
        ]
    told = [n for n in WRITTEN if n in READ_FIRST | ONLY_VERIFIED]
    mended = [n for n in WRITTEN if n not in told]
    losses = [halved, Path.unlink, emptied]
    return [
        *((tuple(WRITTEN[i::4]), flipped) for i in range(4)),
        *(((name,), losses[i % 3]) for i, name in enumerate(told)),
        *((tuple(mended[i::3]), losses[i]) for i in range(3)),
    ]


@pytest.mark.parametrize(
    ("names", "how"), cases(), ids=lambda v: "+".join(v) if isinstance(v, tuple) else v.__name__
)
def test_damaged_files_of_any_table_are_told_and_mended(
    calm: Path, tmp_path: Path, names: tuple[str, ...], how: Callable[[Path], None]
) -> None:
    root, config = tmp_path / "root", calm.parent / "spymaster.toml"
    shutil.copytree(calm, root)
    for name in names:
        how(victim(root, name))
    # A reader is told which table, and what to do.
    for name in names:
        with pytest.raises(LakeError, match="spymaster hist run --verify") as told:
            spymaster.scan(name, root)
        # Rows are read by their lineage: where that is damaged too, it is told first.
        assert name in str(told.value) or ("lineage" in names and "lineage" in str(told.value))
        code, said = invoke("show", name, "--root", root, "-n", "1000000")
        assert (code, "--verify" in said) == (1, True), said
    # Without --verify, what is missing or cut short is mended or told; with it, everything is.
    if how is not flipped and not ONLY_VERIFIED.issuperset(names):
        code, said = invoke("hist", "run", "--config", config, "--root", root)
        if READ_FIRST.issuperset(names):
            assert (code, "spymaster hist run --verify" in said) == (1, True), said
        else:
            assert diff(calm, root).equal, str(diff(calm, root))
            return
    invoke("hist", "run", "--config", config, "--root", root, "--verify")
    found = diff(calm, root)
    assert found.equal, str(found)
    assert loose(root) == []
    assert all(isinstance(spymaster.scan(name, root), polars.DataFrame) for name in names)
    code, said = invoke("plan", "--verify", "--config", config, "--root", root)
    assert (code, "damaged" in said, "stale" in said) == (0, False, False), said


@pytest.mark.parametrize("how", [halved, emptied], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["silver.bar_5s", "bronze.mbo"])
def test_damaged_log_is_told_by_its_file_and_what_to_do_works(
    calm: Path, tmp_path: Path, name: str, how: Callable[[Path], None]
) -> None:
    root, config = tmp_path / "root", calm.parent / "spymaster.toml"
    shutil.copytree(calm, root)
    table = root / delta.folder(TABLES[name])
    last = max((table / "_delta_log").glob("*.json"))
    how(last)
    with pytest.raises(LakeError, match="its log is damaged") as told:
        spymaster.scan(name, root)
    assert str(last) in str(told.value)
    assert "<unknown>" not in str(told.value)
    for verb in (("hist", "run"), ("plan",)):
        code, said = invoke(*verb, "--config", config, "--root", root)
        assert (code, str(last) in said) == (1, True), said
    # As the message says.
    if name == "silver.bar_5s":
        assert f"Move {table} away" in said
        shutil.move(table, tmp_path / "away")
        given: list[Path] = []
    else:
        assert f"Move {root / 'lake'} away" in said
        assert f"spymaster hist run {root}/raw-dbn/*/*/*/*" in said
        shutil.move(root / "lake", tmp_path / "away")
        given = sorted(root.glob("raw-dbn/*/*/*/*"))
    invoke("hist", "run", "--config", config, "--root", root, *given)
    found = diff(calm, root)
    assert found.equal, str(found)


def test_log_with_a_commit_missing_is_told_by_its_file(calm: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(calm, root)
    lost = root / delta.folder(TABLES["silver.bar_5s"]) / "_delta_log" / f"{1:020d}.json"
    lost.unlink()
    with pytest.raises(LakeError, match="is gone") as told:
        Lake(root).scan("silver.bar_5s")
    assert str(lost) in str(told.value)
