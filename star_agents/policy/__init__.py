"""Floor 2: what to ask next. Pure decisions: no clock, no tasks, no I/O."""
