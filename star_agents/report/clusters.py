"""Kinds of tasks among the seeds, and who wins in which: k-means over the memory's embeddings, named by their medoids.

Law: a cluster is called by a seed that is in it, the one nearest to its middle, never by a made-up name; and the same
rows give the same clusters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from star_agents.report.sample import SampledRow

MIN_ROWS = 24
"""Below that there is nothing to tell apart."""

MIN_CLUSTERS, MAX_CLUSTERS = 2, 8
ROWS_PER_CLUSTER = 12

SILHOUETTE_ROWS = 1_000
"""Of so many the silhouette is measured, which takes time in their square (Rousseeuw 1987)."""

_STARTS = 4
"""Times that k-means begins anew; the best is kept."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Seeds that are alike: `medoid` is the question of one, `wins` are by pair."""

    medoid: str
    rows: int
    wins: Mapping[str, int]

    @property
    def leader(self) -> str:
        """The pair with most wins; of equals the first by name."""
        return min(self.wins, key=lambda pair: (-self.wins[pair], pair))


def clusters_of(rows: Sequence[SampledRow]) -> tuple[Cluster, ...]:
    """The clusters, largest first; none where there are few rows, or the run had no embedder."""
    usable = [row for row in rows if row.embedding and row.pair]
    if len(usable) < MIN_ROWS or len({len(row.embedding) for row in usable}) != 1:
        return ()
    vectors = np.stack([np.frombuffer(row.embedding, dtype="<f4") for row in usable])
    most = min(MAX_CLUSTERS, len(usable) // ROWS_PER_CLUSTER, len(np.unique(vectors, axis=0)) - 1)
    if most < MIN_CLUSTERS:
        return ()
    labels, distances = _partition(vectors, most)
    found = []
    for number in range(distances.shape[1]):
        members = np.flatnonzero(labels == number)
        medoid = usable[members[distances[members, number].argmin()]]
        wins = Counter(usable[member].pair for member in members)
        found.append(Cluster(medoid.asked, len(members), wins))
    return tuple(sorted(found, key=lambda cluster: (-cluster.rows, cluster.medoid)))


def _partition(vectors: Any, most: int) -> tuple[Any, Any]:  # noqa: ANN401  # scikit-learn is untyped
    """The cluster of each vector and its distance to every middle, for the number with the best silhouette."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    def fit(size: int) -> tuple[float, Any]:
        model = KMeans(n_clusters=size, n_init=_STARTS, random_state=0).fit(vectors)
        sample = min(len(vectors), SILHOUETTE_ROWS)
        return float(silhouette_score(vectors, model.labels_, sample_size=sample, random_state=0)), model

    _, best = max((fit(size) for size in range(MIN_CLUSTERS, most + 1)), key=lambda each: each[0])
    return best.labels_, best.transform(vectors)
