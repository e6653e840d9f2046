"""A model behind HTTP, as an Azure ML managed online endpoint serves an MLflow model."""
