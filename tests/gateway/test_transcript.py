"""docs/replay.md shows what is really said."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.transcript import DOCUMENT, transcript, written


def test_the_transcript_in_the_document_is_current(tmp_path: Path) -> None:
    document = DOCUMENT.read_text()
    assert document == written(document, transcript(tmp_path)), (
        "write it anew: python -m tests.gateway.transcript"
    )
