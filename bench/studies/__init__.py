"""What `bench.evolution` asks, one question a module."""
