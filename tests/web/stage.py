"""A run to look at: three endpoints of two mock servers, a pool of twelve pairs, and seeds enough for curves."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from star_agents.client.connection import address_of, ask
from star_agents.core.errors import ServiceGoneError, ServiceRefusedError
from star_agents.service.run.address import Address
from star_agents.storage.shipped import shipped
from tests.process.harness import Run, mock_endpoint, tiny_models, wait_for

ASKERS = ("deepen", "rephrase")
WRITERS = {"steady": ("strong", 0.2), "bold": ("strong", 1.1), "quick": ("cheap", 0.7), "home": ("smol", 0.7)}


def seeds_file(folder: Path, number: int) -> Path:
    """The shipped tasks, again and again, so that there are so many."""
    rows = [json.loads(line) for line in shipped("self-instruct-24").read_text().splitlines()]
    lines = [json.dumps(rows[index % len(rows)] | {"id": f"task-{index}"}) for index in range(number)]
    file = folder / "seeds.jsonl"
    file.write_text("\n".join(lines))
    return file


def changes(folder: Path, urls: dict[str, str], num_seeds: int, **service: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """The sections of the quickstart that are other here."""
    remote = {"kind": "openai", "retry_truncated": False}
    responders = {
        name: {"endpoint": endpoint, "prompt": "answer", "temperature": temperature, "max_tokens": 80}
        for name, (endpoint, temperature) in WRITERS.items()
    }
    return {
        "run": {"name": "page"},
        "seeds": {"path": str(seeds_file(folder, num_seeds))},
        "endpoints": {
            "strong": remote
            | {"base_url": urls["far"], "model": "m", "concurrency": 12, "price": {"input": 2.5, "output": 10.0}},
            "cheap": remote
            | {"base_url": urls["far"], "model": "m", "concurrency": 8, "price": {"input": 0.15, "output": 0.6}},
            "smol": remote
            | {"base_url": urls["near"], "model": "m", "concurrency": 8, "price": {"input": 0, "output": 0}},
        },
        "agents": {
            "instruction": {
                name: {"endpoint": "cheap", "prompt": name, "temperature": 0.7, "max_tokens": 64} for name in ASKERS
            },
            "response": responders,
        },
        "pairs": {
            "base": [["keep", "steady"]],
            "pool": [
                [asker, writer]
                for asker in ("keep", *ASKERS)
                for writer in WRITERS
                if (asker, writer) != ("keep", "steady")
            ],
        },
        "judge": {"endpoint": "strong", "max_tokens": 48},
        "sampling": {"max_in_flight": 16},
        "evolution": {"batch_size": 4, "rate": 0.004, "floor": 0.005},
        "budget": {"usd": 5.0},
        "service": {"port": 0, **service},
    }


@contextmanager
def on_stage(folder: Path, *, num_seeds: int, latency_ms: int = 60, **service: Any) -> Iterator[Run]:  # noqa: ANN401
    """The run, not started yet."""
    with ExitStack() as stack:
        urls, first = dict[str, str](), None
        for name, tokens in (("near", 18), ("far", 40)):
            (folder / name).mkdir()
            arguments = (
                "--latency-ms",
                str(latency_ms),
                "--latency-sigma",
                "0.5",
                "--tokens",
                str(tokens),
                "--fault",
                "mendable:0.02",
            )
            endpoint = stack.enter_context(mock_endpoint(folder / name, *arguments))
            urls[name], first = endpoint.base_url, endpoint
        assert first is not None
        yield Run(folder, first, tiny_models(folder), changes(folder, urls, num_seeds, **service))


def address_when_ready(run: Run, process: "subprocess.Popen[str]") -> Address:
    """Where the run serves, once it works."""

    def is_ready() -> bool:
        assert process.poll() is None, run.output()
        try:
            return bool(ask(address_of(run.run_dir), "GET", "/readyz")["ready"])
        except (ServiceGoneError, ServiceRefusedError):
            return False

    wait_for(is_ready, "the service")
    return address_of(run.run_dir)
