"""Floor 5: arguments in, exit code out, and the live screen."""
