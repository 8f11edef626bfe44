"""Leaving out rows whose question has been seen before: by MinHash over characters, or by the memory's embeddings.

Law: of rows that are alike the first in seed order stays, so the same run always keeps the same rows. Only the index of
what stays is held: about 3.5 kB a row for MinHash, 2 bytes a dimension and the graph's links for embeddings.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np

from star_agents.core.errors import ConfigError
from star_agents.storage.picks import DUPLICATE, Left, Pick, left

Sieve = Callable[[Iterator[Pick | Left]], Iterator[Pick | Left]]
"""Turns some picks into reasons, and keeps the order."""

Embed = Callable[[Sequence[str]], Sequence[bytes]]
"""Texts to unit vectors of little-endian float32. Blocks."""

MINHASH_THRESHOLD = 0.8
"""Jaccard similarity from which on two questions are one; the usual choice (Lee et al. 2022 cluster at 0.8)."""

EMBEDDING_THRESHOLD = 0.95
"""Cosine similarity from which on two questions are one, for all-MiniLM-L6-v2; other embedders differ."""

NUM_PERMUTATIONS = 128
SHINGLE_CHARS = 5
BATCH = 256
"""Questions embedded together."""


def minhash_sieve(threshold: float = MINHASH_THRESHOLD) -> Sieve:
    """Leave out questions of which about `threshold` of all 5-character pieces were seen in one before.

    Raises:
        ConfigError: datasketch is not installed.
    """
    try:
        from datasketch import LeanMinHash, MinHash, MinHashLSH
    except ImportError as error:
        raise ConfigError("--dedup minhash: needs the dedup extra: pip install 'star-agents[dedup]'") from error

    index = MinHashLSH(threshold=threshold, num_perm=NUM_PERMUTATIONS, hashfunc=_short)
    kept: dict[int, Any] = {}

    def sketch_of(question: str) -> Any:  # noqa: ANN401  # datasketch is untyped
        sketch = MinHash(num_perm=NUM_PERMUTATIONS)
        sketch.update_batch(_shingles(question))
        return LeanMinHash(sketch)

    def sift(stream: Iterator[Pick | Left]) -> Iterator[Pick | Left]:
        for item in stream:
            if isinstance(item, Left):
                yield item
                continue
            sketch = sketch_of(item.example.question)
            alike = [seed for seed in index.query(sketch) if kept[seed].jaccard(sketch) >= threshold]  # its bands err
            if alike:
                yield left(item, DUPLICATE, f"seed {min(alike)}")
            else:
                index.insert(item.seed, sketch, check_duplication=False)
                kept[item.seed] = sketch
                yield item

    return sift


def embedding_sieve(embed: Embed, threshold: float = EMBEDDING_THRESHOLD) -> Sieve:
    """Leave out questions whose vector is at least `threshold` alike to an earlier one's; the run's are reused."""
    return partial(_sift_vectors, embed=embed, threshold=threshold)


def _sift_vectors(stream: Iterator[Pick | Left], *, embed: Embed, threshold: float) -> Iterator[Pick | Left]:
    index: Any = None
    while batch := list(islice(stream, BATCH)):
        vectors = _vectors([item for item in batch if isinstance(item, Pick)], embed)
        for item in batch:
            if isinstance(item, Left):
                yield item
                continue
            vector = vectors[item.seed]
            if index is None:
                index = _index(len(vector))
            nearest = index.search(vector, 1, threads=1)
            if len(nearest) and 1.0 - float(nearest[0].distance) >= threshold:
                yield left(item, DUPLICATE, f"seed {int(nearest[0].key)}")
            else:
                index.add(item.seed, vector, threads=1)
                yield item


def _vectors(picks: Sequence[Pick], embed: Embed) -> dict[int, Any]:
    """A vector for each pick by its seed's number; only those questions are embedded that the run did not embed."""
    missing = [pick for pick in picks if not pick.embedding]
    fresh = embed([pick.example.question for pick in missing]) if missing else ()
    known = {pick.seed: pick.embedding for pick in picks}
    known |= {pick.seed: vector for pick, vector in zip(missing, fresh, strict=True)}
    return {seed: np.frombuffer(vector, dtype="<f4") for seed, vector in known.items()}


def _index(dimensions: int) -> Any:  # noqa: ANN401  # usearch is untyped
    import pyarrow as pa  # noqa: F401  # before usearch: loaded behind it, it crashes on a time with a zone
    from usearch.index import Index

    return Index(ndim=dimensions, metric="cos", dtype="f16")


def _shingles(text: str) -> list[bytes]:
    """Every run of five characters, with case and white space made even; the whole text where it is shorter."""
    even = " ".join(text.casefold().split())
    last = max(1, len(even) - SHINGLE_CHARS + 1)
    return [even[start : start + SHINGLE_CHARS].encode(errors="replace") for start in range(last)]


def _short(band: bytes) -> bytes:
    return blake2b(band, digest_size=8).digest()
