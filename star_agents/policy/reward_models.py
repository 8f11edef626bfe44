"""What a draw would have earned, as far as the past tells: the model of doubly robust estimates.

Law: a prediction for a seed is a function of seeds that were finished before it. This is cross-fitting for data that
come one after the other: no reward helps to predict itself, nor does one that depends on it through what the run
learnt from it. A model that is wrong costs width, never truth.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from star_agents.policy.logged import LoggedSeed

PRIOR_DRAWS = 2.0
"""How many draws at the mean of all pairs a pair begins with."""

RIDGE = 10.0
"""How many draws at its own mean a pair begins with in a cluster: the penalty of a ridge regression on
cluster membership around the pair's mean, which has this closed form."""

CLUSTERS = 12
SAMPLED = 2048
"""Embeddings that the clusters are found from."""
ROUNDS = 10

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


class RewardModel(Protocol):
    """Predicts rewards by pair; pairs go by their place in `Retrace.pairs`."""

    def predict(self, seed: LoggedSeed) -> Vector:
        """The expected reward of every pair at this seed."""
        ...

    def learn(self, seed: LoggedSeed, places: Sequence[int]) -> None:
        """Take in a finished seed; `places` are those of its draws' pairs."""
        ...


class PairMeans:
    """The mean reward of each pair so far, drawn to that of all pairs where there is little of it."""

    def __init__(self, num_pairs: int) -> None:
        self._count = np.zeros(num_pairs)
        self._sum = np.zeros(num_pairs)

    def predict(self, seed: LoggedSeed) -> Vector:  # noqa: ARG002  # as the protocol has it
        """See `RewardModel`; the seed does not matter."""
        return self.means()

    def means(self) -> Vector:
        """By pair; 0.5 where nothing is known at all."""
        count = self._count.sum()
        overall = self._sum.sum() / count if count else 0.5
        means: Vector = (self._sum + PRIOR_DRAWS * overall) / (self._count + PRIOR_DRAWS)
        return means

    def learn(self, seed: LoggedSeed, places: Sequence[int]) -> None:
        """See `RewardModel`."""
        for place, draw in zip(places, seed.draws, strict=True):
            if draw.reward is not None:
                self._count[place] += 1
                self._sum[place] += draw.reward


class ClusterMeans:
    """The mean reward of each pair for seeds of the same kind, drawn to the pair's mean over all seeds.

    `centres` are unit vectors, one a row (`clusters`).
    """

    def __init__(self, num_pairs: int, centres: Matrix) -> None:
        self._centres = centres
        self._pairs = PairMeans(num_pairs)
        self._count = np.zeros((len(centres), num_pairs))
        self._sum = np.zeros((len(centres), num_pairs))

    def predict(self, seed: LoggedSeed) -> Vector:
        """See `RewardModel`."""
        means = self._pairs.means()
        if not seed.embedding:
            return means
        at = self._nearest(seed)
        predicted: Vector = (self._sum[at] + RIDGE * means) / (self._count[at] + RIDGE)
        return predicted

    def learn(self, seed: LoggedSeed, places: Sequence[int]) -> None:
        """See `RewardModel`."""
        self._pairs.learn(seed, places)
        if not seed.embedding:
            return
        at = self._nearest(seed)
        for place, draw in zip(places, seed.draws, strict=True):
            if draw.reward is not None:
                self._count[at, place] += 1
                self._sum[at, place] += draw.reward

    def _nearest(self, seed: LoggedSeed) -> int:
        return int(np.argmax(self._centres @ np.frombuffer(seed.embedding, dtype="<f4")))


def clusters(embeddings: Sequence[bytes]) -> Matrix:
    """Centres of at most `CLUSTERS` groups of seeds: k-means on the sphere, begun with seeds that are far apart.

    It looks at seeds alone and at no draw or reward, so it may look at all of them. `embeddings` are of one size.
    """
    step = max(1, len(embeddings) // SAMPLED)
    vectors = np.stack([np.frombuffer(one, dtype="<f4") for one in embeddings[::step]])
    centres = _far_apart(vectors, min(CLUSTERS, len(vectors)))
    for _ in range(ROUNDS):
        members = np.argmax(vectors @ centres.T, axis=1)
        sums = np.stack([vectors[members == one].sum(axis=0) for one in range(len(centres))])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, np.finfo(np.float32).tiny), centres)
    return centres


def _far_apart(vectors: Matrix, count: int) -> Matrix:
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return vectors[chosen]
