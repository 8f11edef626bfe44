"""Programs that talk to a running service: what it is asked, and its rows as they come."""

from star_agents.client.rows import RowStream, TailOptions, stream_rows

__all__ = ["RowStream", "TailOptions", "stream_rows"]
