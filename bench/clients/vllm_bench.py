"""vLLM's own closed-loop load generator (`vllm bench serve`), run by vLLM's interpreter, on our prompts.

Its data sets want pandas, which a vLLM for CPUs does not bring; so it is handed the requests instead of a file. It
streams, as it always does: that is its way of timing tokens, and a cost to the server that we spare it.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vllm.benchmarks import serve
from vllm.benchmarks.datasets import SampleRequest
from vllm.utils.argparse_utils import FlexibleArgumentParser

from bench.clients.contract import Client, Job, Outcome, Setup, drive

TEMPLATE_TOKENS = 40
"""Of a prompt, about: the figure is for its own report, which is not read."""


class VllmBench:
    """Runs it once a round, in this process."""

    def __init__(self, setup: Setup) -> None:
        (self._target,) = setup.targets
        self._setup = setup

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`."""
        serve.get_samples = lambda *_, **__: [_sample(job) for job in jobs]
        result = asyncio.run(serve.main_async(self._options(len(jobs))))
        answered = int(result["completed"])
        return Outcome(answered=answered, failed=len(jobs) - answered, more={"duration_s": result["duration"]})

    def _options(self, count: int) -> Any:  # noqa: ANN401  # its own namespace
        parser = FlexibleArgumentParser()
        serve.add_cli_args(parser)
        root = self._target.url.removesuffix("/v1")
        told = {
            "--backend": "openai-chat",
            "--base-url": root,
            "--endpoint": "/v1/chat/completions",
            "--model": self._target.model,
            "--tokenizer": self._setup.extra["tokenizer"],
            "--num-prompts": str(count),
            "--max-concurrency": str(self._target.slots),
            "--extra-body": json.dumps(self._setup.extra["body"]),
        }
        return parser.parse_args(
            [*(word for pair in told.items() for word in pair), "--disable-tqdm", "--ready-check-timeout-sec", "0"]
        )


def _sample(job: Job) -> SampleRequest:
    return SampleRequest(
        prompt=job.prompt,
        prompt_len=TEMPLATE_TOKENS,
        expected_output_len=job.max_tokens,
        request_id=f"bench-{job.number}",
    )


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    yield VllmBench(setup)


if __name__ == "__main__":
    drive(opened, "torch")
