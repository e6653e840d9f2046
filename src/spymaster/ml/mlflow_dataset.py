"""A snapshot as MLflow knows datasets: a name, where it lies, its columns, its digest."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from spymaster.ml.dataset import Dataset, snapshot_folder
from spymaster.ml.extra import needed
from spymaster.ml.frozen_files import VECTORS
from spymaster.ml.outcomes import OUTCOMES

TARGET = "label"


def mlflow_dataset(root: str | Path, data: Dataset) -> Any:
    """The `mlflow.data` dataset of a snapshot, for `mlflow.log_input(.., context="training")`.

    Its digest is the snapshot's checksum, its source the folder's vectors.parquet; columns are the
    features by name and `label`. Of a part (`data.of(split.train)`) the rows are the part's.
    """
    mlflow_data, pandas = needed("mlflow.data"), needed("pandas")
    frame = pandas.DataFrame(data.features, columns=list(data.names), copy=False)
    labels = pandas.Series([OUTCOMES[code] for code in data.label], name=TARGET, dtype=object)
    folder = snapshot_folder(root, data.model_id, data.run_date).path
    with warnings.catch_warnings():
        # MLflow knows two kinds of local files, both the same, and warns that it takes the second.
        warnings.filterwarnings("ignore", "The specified dataset source can be interpreted")
        return mlflow_data.from_pandas(
            pandas.concat([frame, labels], axis=1),
            source=str(folder / VECTORS),
            targets=TARGET,
            name=f"{data.model_id}/{data.run_date.isoformat()}",
            digest=data.checksum,
        )
