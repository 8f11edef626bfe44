"""Closed-loop load on a server through our fleet: `python -m tests.endpoints.load URL MODEL --concurrency 16`.

Prints one line of JSON. Prompts are unlike one another; those of `--kind judge` are about 300 tokens long.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass

import uvloop

from star_agents.core import clock
from star_agents.core.calls import (
    CallKey,
    Message,
    Purpose,
    Request,
    SamplingParams,
)
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.servers.engines import TRANSFORMERS_BODY
from star_agents.endpoints.spec import EndpointSpec

TOPICS = ("bees", "bridges", "taxes", "tides", "bread", "rivers", "chess", "glass", "rust", "tea", "poems", "maps")
ASK = {
    "answer": "Explain in a few sentences what a beginner should know about {topic}, case {number}.",
    "judge": "Case {number}. "
    + "The answer tells of {topic} in some detail and says several things. " * 20
    + "Verdict?",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it; seconds and tokens."""

    kind: str
    concurrency: int
    requests: int
    wall_s: float
    output_tokens_per_s: float
    requests_per_s: float
    latency_p50_s: float | None
    latency_p95_s: float | None
    input_tokens: int
    output_tokens: int


def asked(number: int, kind: str, max_tokens: int) -> Request:
    text = ASK[kind].format(topic=TOPICS[number % len(TOPICS)], number=number)
    params = SamplingParams(max_tokens=max_tokens, temperature=0.7)
    return Request(CallKey(number, Purpose.RESPOND, 0), "load", (Message("user", text),), params, number)


async def measure(options: argparse.Namespace) -> Measured:
    spec = EndpointSpec(
        name="load",
        base_urls=(options.url,),
        model=options.model,
        concurrency=options.concurrency,
        extra_body=TRANSFORMERS_BODY if options.sample else {},
        retry_truncated=False,
    )
    async with Fleet([spec], 7) as fleet:
        began_at = clock.now()
        async with asyncio.TaskGroup() as group:
            for number in range(options.requests):
                group.create_task(fleet.complete(asked(number, options.kind, options.max_tokens)))
        wall = clock.now() - began_at
        (status,) = fleet.snapshot()
    return Measured(
        kind=options.kind,
        concurrency=options.concurrency,
        requests=options.requests,
        wall_s=round(wall, 1),
        output_tokens_per_s=round(status.output_tokens / wall, 1),
        requests_per_s=round(options.requests / wall, 2),
        latency_p50_s=status.latency_p50_s,
        latency_p95_s=status.latency_p95_s,
        input_tokens=status.input_tokens,
        output_tokens=status.output_tokens,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.endpoints.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--kind", choices=sorted(ASK), default="answer")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--sample", action="store_true", help="switch sampling on in `transformers serve`")
    measured = uvloop.run(measure(parser.parse_args()))
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")


if __name__ == "__main__":
    main()
