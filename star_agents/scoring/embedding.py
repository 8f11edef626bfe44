"""Texts become unit vectors. The only module that imports sentence-transformers."""

import base64

import numpy as np
from sentence_transformers import SentenceTransformer

from star_agents.core.errors import ScorerError
from star_agents.scoring.devices import take_device
from star_agents.scoring.messages import Embed, Embedded, Request


class SentenceEmbedder:
    """A worker's duty: an embedding model. One device is plenty, however many there are."""

    device_count = 1

    def __init__(self, model: str, device: str) -> None:
        self.device, _ = take_device(device)
        self._model = SentenceTransformer(model, device=self.device, trust_remote_code=False)

    def prepare(self, request: Request) -> list[str]:
        """The texts: sentence-transformers tokenizes by itself, a batch at a time."""
        assert isinstance(request, Embed)  # noqa: S101  # an embedder is asked for nothing else
        return list(request.texts)

    def run(self, texts: list[str]) -> Embedded:
        """Embed texts.

        Raises:
            ScorerError: a vector is not finite.
        """
        vectors = self._model.encode(texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
        if not np.isfinite(vectors).all():
            raise ScorerError("the embedding model returned a vector that is not finite")
        rows = vectors.astype("<f4", copy=False)
        return Embedded(tuple(base64.b64encode(row.tobytes()).decode() for row in rows))
