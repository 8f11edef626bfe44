"""A small sound config, and ways to spoil it."""

import copy
from typing import Any

SOUND: dict[str, Any] = {
    "run": {"name": "test", "dir": "runs/test", "seed": 3},
    "seeds": {"path": "seeds.jsonl"},
    "endpoints": {"local": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "tiny"}},
    "agents": {
        "instruction": {"deepen": {"endpoint": "local", "prompt": "deepen"}},
        "response": {
            "calm": {"endpoint": "local", "prompt": "answer"},
            "wild": {"endpoint": "local", "prompt": "answer", "temperature": 1.0},
        },
    },
    "pairs": {"base": [["keep", "calm"]], "pool": "all"},
    "sampling": {"pairs_per_seed": 2, "from_memory": 1},
    "memory": {"embedder": "tiny"},
    "scoring": {"small": "tiny"},
    "judge": {"endpoint": "local"},
}


def spoiled(path: str, value: object) -> dict[str, Any]:
    """The sound config with the value at a dotted path replaced; `...` takes the key away."""
    config = copy.deepcopy(SOUND)
    *parents, last = path.split(".")
    inner = config
    for parent in parents:
        inner = inner.setdefault(parent, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return config
