"""A wing of floor 3: adapters of the ports for a cluster of machines. Nothing is in use here yet."""
