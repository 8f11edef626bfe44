"""A wing of floor 3: models reached over HTTP, and the model servers that we start ourselves."""
