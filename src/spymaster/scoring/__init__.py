"""A model behind HTTP, as an Azure ML managed online endpoint serves it, and who asks it."""
