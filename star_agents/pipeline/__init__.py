"""A wing of floor 3: the stages one seed travels through, joined by closable channels."""
