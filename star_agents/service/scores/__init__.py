"""`star-agents score`: a data set scored, without a run."""
