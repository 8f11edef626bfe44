"""How the package scores: the models and the two steps of a worker, in requests of the size that a pool makes.

The next request is prepared in a second thread while one is computed, as `scoring.worker` does it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.scorers.contract import Task, drive, measured
from bench.scorers.models import has_weights, open_network, open_tokenizer
from star_agents.core.records import Sample
from star_agents.scoring.conventions import superfiltering
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.products import Precision, choose_precision, lay_products
from star_agents.scoring.rating import Prepared, Rated, prepare, run
from star_agents.scoring.sample_crew import split
from star_agents.scoring.tokens import Tokens


class Ours:
    """The method with its model."""

    def __init__(self, task: Task) -> None:
        self._model = open_model(task.model, task.device, choose_precision(task.dtype, task.device))
        self._convention = superfiltering(self._model.tokens, self._model.window)
        self._request = task.request

    def rate(self, samples: Sequence[Sample]) -> list[float | None]:
        """See `contract.Method`."""
        requests = split(samples, self._request)
        rated: list[Rated] = []
        with ThreadPoolExecutor(1) as ahead:
            waiting = ahead.submit(self._prepare, requests[0])
            for following in (*requests[1:], None):
                prepared = waiting.result()
                if following is not None:
                    waiting = ahead.submit(self._prepare, following)
                rated.append(run(self._model, self._convention, prepared))
        return [score.ifd for each in rated for score in each.scores]

    def _prepare(self, samples: Sequence[Sample]) -> Prepared:
        return prepare(self._model, self._convention, samples)


def open_model(model: str, device: str, precision: Precision) -> LanguageModel:
    """As a worker loads it; a shape with random weights likewise, but for where the weights come from."""
    if has_weights(model):
        return LanguageModel.load(model, device=device, dtype="auto", precision=precision)
    network = open_network(model, device, precision.body)
    lay_products(network, precision)
    return LanguageModel(network, Tokens(open_tokenizer(model), network.config))


if __name__ == "__main__":
    drive(measured(Ours))
