"""One run put together: its stages, where its seeds come from, how it goes on after a stop and how it ends."""
