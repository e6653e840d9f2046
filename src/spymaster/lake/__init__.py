"""Delta tables, landing, manifest, lineage and diff: where rows rest and how they are compared."""

from spymaster.lake.commit import Commit
from spymaster.lake.parquet import Part
from spymaster.lake.tables import Lake

__all__ = ["Commit", "Lake", "Part"]
