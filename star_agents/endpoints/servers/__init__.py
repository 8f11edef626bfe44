"""Model servers that we start, watch, start anew and end."""
