"""Floor 2: when and where to send. Pure state machines: no clock, no tasks, no I/O."""
