"""Wire formats, without I/O: from a request to bytes, and from a reply, whole or streamed, to a record."""
