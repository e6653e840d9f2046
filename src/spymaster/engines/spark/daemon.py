"""The process from which Spark forks its Python workers, with the kernel in memory already."""

from __future__ import annotations

import importlib

from spymaster.engines.warm import warm_up

if __name__ == "__main__":
    for name in ("spymaster.engines.spark.bronze_task", "spymaster.engines.spark.contract_task"):
        importlib.import_module(name)
    warm_up()
    importlib.import_module("pyspark.daemon").manager()
