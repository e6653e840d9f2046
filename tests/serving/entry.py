"""What Azure ML runs for an MLflow model without a script of its own, written anew.

Microsoft's server takes it; Microsoft's own script is not on PyPI. As that one does: the input's
types come from the model's input example, the answer's and the parameters' from its signature;
`input_data` becomes a data frame by pandas' split form, and the answer a list of records.
"""

import os

import mlflow.pyfunc
import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

folder = os.path.join(os.environ["AZUREML_MODEL_DIR"], os.environ["MLFLOW_MODEL_FOLDER"])
model = mlflow.pyfunc.load_model(folder)
meta = model.metadata
example = meta.load_input_example(folder)
outputs = meta.signature.outputs
types = dict(zip(outputs.input_names(), outputs.pandas_types(), strict=True))
answer = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
params = {p.name: p.default for p in meta.signature.params.params}


def init():
    pass


@input_schema("input_data", PandasParameterType(example, enforce_shape=False, orient="split"))
@input_schema("params", StandardPythonParameterType(params), optional=True)
@output_schema(PandasParameterType(answer, enforce_shape=False, orient="records"))
def run(input_data, params=None):
    return model.predict(input_data, params=params).to_dict(orient="records")
