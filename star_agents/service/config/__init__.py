"""The config file: read, checked whole, and turned into the parts of a run."""
