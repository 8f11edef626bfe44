from random import Random

import numpy as np
import pytest

from star_agents.core.records import Slot
from star_agents.policy.logged import LoggedDraw, LoggedSeed
from star_agents.policy.reward_models import CLUSTERS, ClusterMeans, PairMeans, RewardModel, clusters
from tests.policy.logs import EMBEDDINGS
from tests.policy.sets import pairs

PAIRS = pairs(3)


def seed_of(place: int, reward: float | None, embedding: bytes = b"") -> LoggedSeed:
    draw = LoggedDraw(Slot(1, PAIRS[place], propensity=0.5), reward, reward is not None)
    return LoggedSeed(0, 0, (draw,), embedding=embedding)


@pytest.mark.parametrize("model", [PairMeans(3), ClusterMeans(3, clusters(EMBEDDINGS))], ids=["pairs", "clusters"])
def test_who_knows_nothing_says_a_half(model: RewardModel) -> None:
    """Before the first reward, and after one that is not known."""
    assert model.predict(seed_of(0, None, EMBEDDINGS[0])).tolist() == [0.5] * 3
    model.learn(seed_of(0, None, EMBEDDINGS[0]), [0])
    assert model.predict(seed_of(0, None)).tolist() == [0.5] * 3


def test_a_pair_is_drawn_to_the_mean_of_all() -> None:
    """Two draws of 1 and two of 0.5 elsewhere: 0.75 overall, and each pair halfway to its own mean."""
    model = PairMeans(3)
    for place, reward in ((0, 1.0), (0, 1.0), (1, 0.5), (1, 0.5)):
        model.learn(seed_of(place, reward), [place])
    assert model.predict(seed_of(0, None)).tolist() == pytest.approx([0.875, 0.625, 0.75])


def test_clusters_tell_kinds_apart() -> None:
    """A pair that is good at one kind of seed and bad at another is known as both, and by its mean without a kind."""
    model, chance = ClusterMeans(3, clusters(EMBEDDINGS)), Random(1)
    for _ in range(2000):
        kind = chance.randrange(2)
        model.learn(seed_of(0, float(kind), EMBEDDINGS[kind]), [0])
    assert model.predict(seed_of(0, None, EMBEDDINGS[0]))[0] == pytest.approx(0.0, abs=0.02)
    assert model.predict(seed_of(0, None, EMBEDDINGS[1]))[0] == pytest.approx(1.0, abs=0.02)
    assert model.predict(seed_of(0, None))[0] == pytest.approx(0.5, abs=0.05)


def test_clusters_are_found() -> None:
    """Seeds around a few far directions get a centre each; the same seeds give the same centres."""
    rng = np.random.default_rng(1)
    directions = np.eye(5, 32)
    vectors = directions[rng.integers(0, 5, 400)] + 0.05 * rng.normal(size=(400, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    centres = clusters([vector.tobytes() for vector in vectors])
    assert len(centres) == CLUSTERS
    assert np.allclose(np.linalg.norm(centres, axis=1), 1.0)
    assert (np.max(centres @ directions.T, axis=0) > 0.95).all()
    assert (centres == clusters([vector.tobytes() for vector in vectors])).all()


def test_few_seeds_make_few_clusters() -> None:
    """As many as there are seeds, also where they are all alike."""
    assert len(clusters([EMBEDDINGS[0]])) == 1
    assert np.isfinite(clusters([EMBEDDINGS[0]] * 3)).all()
