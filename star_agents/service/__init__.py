"""Floor 4: builds everything once, and owns its life and its HTTP face."""
