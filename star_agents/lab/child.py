"""A process that simulates what it is told, one line in and one line out, until its input ends.

A line in is `{"settings": {...}, "number": 3}`; a line out is an `Outcome`. Started by `lab.repeat`.
"""

import sys
from functools import lru_cache

import orjson

from star_agents.lab.trial import Laboratory
from star_agents.service.config.settings import Settings


@lru_cache(maxsize=1)
def _laboratory(settings: bytes) -> Laboratory:
    return Laboratory.build(Settings.model_validate_json(settings))


def main() -> None:
    """Serve the parent."""
    for line in sys.stdin.buffer:
        order = orjson.loads(line)
        outcome = _laboratory(orjson.dumps(order["settings"])).run(order["number"])
        sys.stdout.buffer.write(outcome.to_json() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
