"""A wing of floor 3: perplexities and embeddings, on batched models in child processes."""
