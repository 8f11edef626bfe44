"""Floor 1: nouns, errors, ports, time and chance. Imports nothing but the standard library."""
