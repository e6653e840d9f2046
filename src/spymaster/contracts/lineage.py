"""Lineage: what a data_version stands for."""

from __future__ import annotations

from spymaster.contracts.column import Column, Table, trace

LINEAGE = Table(
    "lineage",
    "What each computed session was made from. Readers follow the status `complete`.",
    (
        Column("session_date", "date", "trading session", key=True, kind="trace"),
        Column("underlier", "string", "root", key=True, kind="trace"),
        Column(
            "status",
            "string",
            "started; then silver, or complete: silver and gold of one making",
            key=True,
            kind="trace",
        ),
        trace("data_version", "string", "BLAKE2b of inputs, contracts, code, configuration"),
        trace("files", "list<string>", "sha256 of the input files, sorted"),
        trace("inputs_hash", "string", "earlier summaries that the session depends on"),
        trace("code_version", "string", "package version and hash of its sources"),
        trace("config_hash", "string", "hash of the configuration"),
        trace("contracts_version", "string", "hash of the contracts"),
        trace("table_versions", "string", "JSON: table -> Delta version after the commit"),
        trace("rows", "string", "JSON: table -> rows written"),
        trace("counters", "string", "JSON: duplicates, skipped, quarantined, ..."),
        trace("run_id", "string", "run that wrote it"),
        trace("epoch", "int64", "epoch, of a stream"),
        trace("machine", "string", "JSON: CPU, Python, library versions"),
        trace("committed_at", "int64", "when", "ns UTC"),
    ),
    append=True,
)

TABLES = (LINEAGE,)
