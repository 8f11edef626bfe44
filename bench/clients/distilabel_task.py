"""distilabel: the `TextGeneration` task on `OpenAILLM`, a batch of as many rows as there are slots after the other.

That is what a pipeline's step does with each batch; the pipeline's processes and queues around it are left out, in
its favour. It takes one target; a job's own is ignored.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distilabel.models import OpenAILLM
from distilabel.steps.tasks import TextGeneration

from bench.clients.contract import MAX_TOKENS, Client, Job, Outcome, Setup, drive


class DistilabelClient:
    """One loaded task."""

    def __init__(self, setup: Setup) -> None:
        (target,) = setup.targets
        self._batch = setup.batch or target.slots
        llm = OpenAILLM(
            model=target.model,
            base_url=target.url,
            api_key="none",
            generation_kwargs={"max_new_tokens": MAX_TOKENS},
        )
        self._task = TextGeneration(llm=llm)
        self._task.load()

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`."""
        answered = 0
        for start in range(0, len(jobs), self._batch):
            rows = [{"instruction": job.prompt} for job in jobs[start : start + self._batch]]
            answered += sum(bool(row["generation"]) for row in next(self._task.process(rows)))
        return Outcome(answered=answered, failed=len(jobs) - answered)


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    yield DistilabelClient(setup)


if __name__ == "__main__":
    drive(opened, "distilabel", "openai")
