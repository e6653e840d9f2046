"""The registry: a model's versions in MLflow, what each has seen, and which are pointed at."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spymaster.errors import ModelError
from spymaster.masked import masked
from spymaster.ml.extra import needed
from spymaster.ml.model import Scorer, load_scorer
from spymaster.ml.sweep import MODEL
from spymaster.ml.tracking import ROLE, Store, tracking_uri
from spymaster.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
_TAG = "spymaster."
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Version:
    """A registered version; `tags` tell where it comes from, without their `spymaster.`."""

    number: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


class Registry:
    """The versions of one model in the store of the settings.

    ModelError when the store cannot be reached, or lacks what is asked for.
    """

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.model_id = model_id
        self.uri = tracking_uri(settings)
        self.shown = masked(self.uri)  #: without a password
        self._settings = settings
        self._error: type[Exception] = needed("mlflow.exceptions").MlflowException
        with self._told():
            self._client = needed("mlflow").MlflowClient(self.uri, self.uri)

    def versions(self) -> list[Version]:
        """Every version, oldest first."""
        with self._told():
            found = self._client.search_model_versions(f"name = '{self.model_id}'")
            # A search leaves the aliases out in some stores; the model has them in all.
            named = self._aliases() if found else {}
        made = [_version(v, named) for v in found]
        return sorted(made, key=lambda v: int(v.number))

    def version(self, number: str) -> Version:
        """One version; ModelError names those there are."""
        there = self.versions()
        for one in there:
            if one.number == number:
                return one
        raise ModelError(
            f"{self.model_id}: no version {number} in {self.shown}; there are: "
            f"{', '.join(v.number for v in there) or 'none'}. See: spymaster ml models"
        )

    def alias(self, name: str) -> str | None:
        """The version that an alias points at, None if at none."""
        with self._told():
            try:
                return self._aliases().get(name)
            except self._error as error:
                if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def point(self, name: str, number: str) -> None:
        """Let an alias point at a version."""
        with self._told():
            self._client.set_registered_model_alias(self.model_id, name, number)

    def newest_run(self) -> str:
        """The run of the model that was swept last; ModelError when there is none."""
        runs = Store(self._settings, self.model_id).runs({ROLE: "model"})
        done = [r for r in runs if r.info.status == "FINISHED"]
        if not done:
            raise ModelError(
                f"{self.model_id}: no model in {self.shown}. Make one with: spymaster ml sweep "
                f"--model {self.model_id} --run-date DATE"
            )
        return str(done[-1].info.run_id)

    def register(self, run_id: str) -> Version:
        """The version of a run's model, made if there is none; its tags are the model's card's."""
        for one in self.versions():
            if one.run_id == run_id:
                return one
        with self._told():
            run = self._client.get_run(run_id)
            scorer = load_scorer(self._folder(f"{run.info.artifact_uri}/{MODEL}"))
            if scorer.model_id != self.model_id:
                raise ModelError(
                    f"{self.shown} run {run_id}: is a model for {scorer.model_id}, not for "
                    f"{self.model_id}. Name one of its own runs."
                )
            with contextlib.suppress(self._error):  # it is there already
                self._client.create_registered_model(self.model_id)
            made = self._client.create_model_version(
                self.model_id,
                source=f"{run.info.artifact_uri}/{MODEL}",
                run_id=run_id,
                tags={_TAG + k: v for k, v in self._described(scorer, run).items()},
            )
        return self.version(str(made.version))

    def scorer(self, number: str) -> Scorer:
        """A version's fast path. ModelError when its files are gone or damaged."""
        with self._told():
            uri = self._client.get_model_version_download_uri(self.model_id, number)
            found = load_scorer(self._folder(uri))
        return replace(found, version=number)

    def _aliases(self) -> dict[str, str]:
        model = self._client.get_registered_model(self.model_id)
        return {name: str(number) for name, number in model.aliases.items()}

    def _folder(self, uri: str) -> str:
        download = needed("mlflow.artifacts").download_artifacts
        return str(download(artifact_uri=uri, tracking_uri=self.uri, registry_uri=self.uri))

    def _described(self, scorer: Scorer, run: Any) -> dict[str, str]:
        card = scorer.model.card
        known = ("digest", "feature_contract", "snapshot", "run_date", "seen_until", "sweep")
        tags = {name: str(card[name]) for name in known if name in card}
        parent = run.data.tags.get(_PARENT)
        if parent:
            params = self._client.get_run(parent).data.params
            tags |= {k: params[k] for k in ("train", "validation", "seed") if k in params}
            tags["sweep_run"] = parent
        return {**tags, "kind": str(card["knobs"]["kind"])}

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        sql = needed("sqlalchemy.exc")
        try:
            yield
        except (self._error, sql.SQLAlchemyError, ImportError, OSError) as error:
            first = masked(str(error).partition("\n")[0])
            raise ModelError(
                f"{self.shown}: the registry of {self.model_id} does not answer as it should "
                f"({first}). Correct [ml] tracking_uri, or what is wrong there, and run the same "
                "command again."
            ) from (error if self.shown == self.uri else None)  # a cause may tell the password


def seen_until(scorer: Scorer) -> dt.date:
    """The last session that a model was trained, tuned or calibrated on, as its card says."""
    try:
        return dt.date.fromisoformat(scorer.model.card["seen_until"])
    except (KeyError, ValueError):
        raise ModelError(
            f"{scorer.model_id} version {scorer.version}: its card does not say until when it has "
            "seen sessions, so no session is surely new to it. Make it with: spymaster ml sweep"
        ) from None


def _version(found: Any, named: Mapping[str, str]) -> Version:
    number = str(found.version)
    return Version(
        number=number,
        run_id=str(found.run_id or ""),
        aliases=tuple(sorted(name for name, at in named.items() if at == number)),
        tags={k.removeprefix(_TAG): v for k, v in found.tags.items() if k.startswith(_TAG)},
    )
