"""Where runs are told: MLflow's store, with one run per trial under its sweep's, never two."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spymaster.errors import ModelError
from spymaster.masked import masked
from spymaster.ml.extra import needed, quiet
from spymaster.settings import Settings

SWEEP, ROLE, TRIAL = "spymaster.sweep", "spymaster.role", "spymaster.trial"
_PARENT = "mlflow.parentRunId"
#: Stores that keep artifacts in a place of their own.
_REMOTE = ("http", "https", "azureml", "databricks")
_FOLDER = Path("ml-artifacts/mlflow")
Fill = Callable[[Path], None]


def tracking_uri(settings: Settings) -> str:
    """The store that [ml] tracking_uri names, by default a file of SQLite under the root.

    It may hold a password: show it `masked`.
    """
    if settings.ml.tracking_uri:
        return settings.ml.tracking_uri
    folder = _under(settings)
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def _under(settings: Settings) -> Path:
    if "://" in settings.root:
        raise ModelError(
            f"{settings.root}: MLflow's store needs a local root or a server. Set [ml] tracking_uri"
        )
    return Path(settings.root).absolute() / _FOLDER


class Store:
    """The runs of one model: an experiment of its name. Opening it may take ten seconds.

    Raises ModelError when the store cannot be reached or read.
    """

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.uri = tracking_uri(settings)
        self.shown = masked(self.uri)  #: without a password
        mlflow = needed("mlflow")
        self._entities = needed("mlflow.entities")
        with self._told():
            self._client = mlflow.MlflowClient(self.uri)
            found = self._client.get_experiment_by_name(model_id)
            if found is not None and found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            place = (
                None
                if self.uri.partition(":")[0] in _REMOTE
                else (_under(settings) / "artifacts" / model_id).as_uri()
            )
            self._experiment = (
                found.experiment_id
                if found is not None
                else self._client.create_experiment(model_id, artifact_location=place)
            )

    def runs(self, tags: Mapping[str, str]) -> list[Any]:
        """Runs with these tags, oldest first."""
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found: list[Any] = []
        page = None
        with self._told():
            while True:
                some = self._client.search_runs(
                    [self._experiment],
                    wanted,
                    order_by=["attributes.start_time ASC"],
                    page_token=page,
                )
                found += some
                if not (page := some.token):
                    return found

    def ended(self, tags: Mapping[str, str]) -> list[Any]:
        """Runs with these tags that came to their end; those that were killed are removed."""
        whole = []
        for run in self.runs(tags):
            if run.info.status in ("FINISHED", "FAILED"):
                whole.append(run)
            else:
                with self._told():
                    self._client.delete_run(run.info.run_id)
        return whole

    def start(
        self, name: str, tags: Mapping[str, str], parent: str = "", started_ms: int | None = None
    ) -> str:
        """A new run's id."""
        above = {_PARENT: parent} if parent else {}
        with self._told():
            run = self._client.create_run(
                self._experiment, started_ms, {**tags, **above}, run_name=name
            )
        return str(run.info.run_id)

    def tell(
        self,
        run: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float | None],
        at_ms: int,
        steps: Mapping[str, tuple[float, ...]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Parameters, metrics (null ones left out) and tags in one request."""
        e = self._entities
        numbers = [e.Metric(n, v, at_ms, 0) for n, v in metrics.items() if v is not None]
        for name, values in (steps or {}).items():
            numbers += [e.Metric(name, v, at_ms, i) for i, v in enumerate(values)]
        with self._told():
            self._client.log_batch(
                run,
                numbers,
                [e.Param(name, str(value)) for name, value in params.items()],
                [e.RunTag(name, value) for name, value in (tags or {}).items()],
            )

    def files(self, run: str, fill: Fill, place: str | None = None) -> None:
        """Artifacts: what `fill` writes into a folder."""
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder))
            with self._told():
                self._client.log_artifacts(run, folder, place)

    def dataset(self, run: str, dataset: Any) -> None:
        """What a run has learnt from."""
        e = self._entities
        context = e.InputTag("mlflow.data.context", "training")
        with self._told():
            given = e.DatasetInput(dataset._to_mlflow_entity(), [context])
            self._client.log_inputs(run, datasets=[given])

    def end(self, run: str, ended_ms: int | None = None, failed: bool = False) -> None:
        """The run is whole: nothing is added any more."""
        with self._told():
            self._client.set_terminated(run, "FAILED" if failed else "FINISHED", ended_ms)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        mlflow, sql = needed("mlflow.exceptions"), needed("sqlalchemy.exc")
        try:
            with quiet():
                yield
        except (mlflow.MlflowException, sql.SQLAlchemyError, ImportError, OSError) as error:
            first = masked(str(error).partition("\n")[0])
            raise ModelError(
                f"{self.shown}: MLflow's store does not answer as it should ({first}). Correct "
                "[ml] tracking_uri, or what is wrong there, and run the same command again"
            ) from (error if self.shown == self.uri else None)  # a cause may tell the password


def stored(settings: Settings) -> bool:
    """Is there a store yet? One that the settings name is taken to be there."""
    return bool(settings.ml.tracking_uri) or (_under(settings) / "mlflow.db").exists()
