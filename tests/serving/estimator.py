"""A model as code: MLflow serves it anywhere, without spymaster."""

from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import set_model


class Estimator(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def load_context(self, context: Any) -> None:
        import joblib

        saved = joblib.load(context.artifacts["estimator"])
        self._estimator, self._contract = saved["estimator"], saved["contract"]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        p = np.maximum(self._estimator.predict_proba(features), 1e-6)
        return p / p.sum(axis=1, keepdims=True)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        asked = (params or {}).get("feature_contract") or self._contract
        if asked != self._contract:
            raise ValueError(f"the feature contract is {self._contract}, not {asked}")
        p = self.probabilities(model_input.to_numpy(dtype=np.float64))
        frame = pd.DataFrame(p, columns=["p_break", "p_reject", "p_chop"])
        frame["prediction"] = np.array(["BREAK", "REJECT", "CHOP"])[p.argmax(axis=1)]
        return frame


set_model(Estimator())
