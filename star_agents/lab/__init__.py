"""A laboratory: the real stages in a made-up world whose truth is known, on virtual time (docs/evolution.md)."""
