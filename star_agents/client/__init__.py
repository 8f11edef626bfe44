"""Programs that talk to a running service: what it is asked, and its rows as they come."""
