"""What every `Embedder` promises: the fake that other tests use, and a worker process with a tiny encoder."""

import struct
from collections.abc import Iterator
from math import hypot

import pytest

from star_agents.core.ports import Embedder
from star_agents.scoring.pool import EmbedderPool
from tests.fakes.scoring import HashEmbedder
from tests.scoring.hosting import Hosted, hosted
from tests.scoring.tiny import save_tiny_embedder

TEXTS = ["The quick brown fox.", "", "Name three fruits.", "x " * 900, "The quick brown fox.", "a\ud800b"]


class _AsIs:
    """Nothing to open."""

    async def __aenter__(self) -> Embedder:
        return HashEmbedder()

    async def __aexit__(self, *_: object) -> None:
        return


@pytest.fixture(scope="module", params=["hash", "pool"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted[Embedder]]:
    if request.param == "hash":
        with hosted(_AsIs()) as fake:
            yield fake
        return
    folder = tmp_path_factory.mktemp("embedder")
    with hosted(EmbedderPool(save_tiny_embedder(folder / "model"), log_dir=folder)) as pool:
        yield pool


def test_one_unit_vector_a_text(embedder: Hosted[Embedder]) -> None:
    """Little-endian float32 of one width and unit norm, for any text."""
    vectors = embedder.run(embedder.resource.embed(TEXTS))
    assert len(vectors) == len(TEXTS)
    assert len({len(vector) for vector in vectors}) == 1
    for vector in vectors:
        assert hypot(*struct.unpack(f"<{len(vector) // 4}f", vector)) == pytest.approx(1, abs=1e-5)


def test_equal_texts_have_equal_vectors_in_their_places(embedder: Hosted[Embedder]) -> None:
    """And unequal texts unequal ones."""
    vectors = embedder.run(embedder.resource.embed(TEXTS))
    assert vectors[0] == vectors[4]
    assert len(set(vectors)) == 5


def test_a_text_has_one_vector_in_any_company(embedder: Hosted[Embedder]) -> None:
    """Batching does not move it by more than rounding."""
    (alone,) = embedder.run(embedder.resource.embed(TEXTS[2:3]))
    together = embedder.run(embedder.resource.embed(TEXTS))[2]
    form = f"<{len(alone) // 4}f"
    assert struct.unpack(form, alone) == pytest.approx(struct.unpack(form, together), abs=1e-5)


def test_nothing_asked_is_nothing_answered(embedder: Hosted[Embedder]) -> None:
    """An empty batch is a batch."""
    assert embedder.run(embedder.resource.embed([])) == []
