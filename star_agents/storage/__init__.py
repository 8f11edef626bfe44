"""A wing of floor 3: the SQLite store, the readers of seeds, and the data sets derived from a run."""
