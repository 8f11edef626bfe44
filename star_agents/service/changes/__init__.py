"""What is changed while a run goes on: limits and weights, agents and pairs."""
