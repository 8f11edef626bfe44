"""bespokelabs-curator: `curator.LLM` over a data set, its cache of responses on disk and all (a fresh one).

Its limits are set so that only `max_concurrent_requests` binds. It takes one target; a job's own is ignored.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bespokelabs import curator
from datasets import Dataset

from bench.clients.contract import MAX_TOKENS, Client, Job, Outcome, Setup, drive

UNBOUND = 10**9
"""Requests and tokens a minute."""


class CuratorClient:
    """One `LLM`; each round is a data set of its own."""

    def __init__(self, setup: Setup) -> None:
        (target,) = setup.targets
        self._folder = setup.folder
        self._llm = curator.LLM(
            model_name=target.model,
            backend="openai",
            generation_params={"max_tokens": MAX_TOKENS},
            backend_params={
                "base_url": target.url,
                "api_key": "none",
                "max_concurrent_requests": target.slots,
                "max_requests_per_minute": UNBOUND,
                "max_tokens_per_minute": UNBOUND,
                "require_all_responses": False,
                "invalid_finish_reasons": ["content_filter"],
            },
        )

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`."""
        prompts = Dataset.from_dict({"prompt": [job.prompt for job in jobs]})["prompt"]
        response = self._llm(prompts, working_dir=self._folder)
        answered = sum(bool(row["response"]) for row in response.dataset)
        return Outcome(answered=answered, failed=len(jobs) - answered)


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    yield CuratorClient(setup)


if __name__ == "__main__":
    drive(opened, "bespokelabs-curator", "litellm", "aiohttp")
