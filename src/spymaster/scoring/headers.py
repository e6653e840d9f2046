"""What headers of a scoring endpoint are called: the service sends them, the loop reads them."""

#: The model's version: whom a request pins, who answered. Ours; Azure has none.
VERSION = "x-ms-model-version"
#: The deployment: whom a request chooses, who answered.
DEPLOYMENT = "azureml-model-deployment"
#: "True" when it was the model that failed, not the way to it.
FAILED = "x-ms-run-function-failed"
