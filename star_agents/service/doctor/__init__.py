"""A machine, a config or a run looked over before anything depends on it."""
