"""A first config out of a few wishes: who answers, which seeds, and what matters. Pure: wishes in, plain data out.

Law: what is drafted is a config like any other. It is checked by whoever writes it, and every choice that was made for
the user stands in it, to be changed there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from star_agents.core.records import KEEP

Goal = Literal["quick", "quality", "cheap"]
Engine = Literal["vllm", "transformers"]

MAX_NAME = 40

SMALL, LARGE, EMBEDDER = "smollm2-135m", "gemma3-270m", "minilm-l6-v2"
"""Packaged models: they need no hub, no key and no GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user said. `models` answer at `base_url`, or are served here by `engine`; the first one judges.

    `api_key` names a secret (`${NAME}` or `file:/path`) and never is one.
    """

    name: str
    seeds: str
    models: Sequence[str]
    base_url: str | None = None
    api_key: str | None = None
    engine: Engine | None = None
    goal: Goal = "quality"
    small: str = SMALL
    large: str | None = LARGE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habits:
    """What a goal comes to: instruction agents, ways to answer (template and temperature), and numbers."""

    rewriting: tuple[str, ...]
    answering: tuple[tuple[str, str, float], ...]
    pairs_per_seed: int
    from_memory: int
    max_tokens: int
    limit: int | None = None
    swap: bool = True
    reward: str = "quality"


_PLAIN, _FREE, _REVISED = ("", "answer", 0.3), ("-free", "answer", 0.9), ("-reviser", "improve", 0.3)
_SUFFIXES = tuple(suffix for suffix, _, _ in (_PLAIN, _FREE, _REVISED))

_HABITS: dict[Goal, _Habits] = {
    "quick": _Habits(
        rewriting=("rephrase",),
        answering=(_PLAIN, _FREE),
        pairs_per_seed=2,
        from_memory=0,
        max_tokens=256,
        limit=50,
    ),
    "quality": _Habits(
        rewriting=("deepen", "broaden", "rephrase"),
        answering=(_PLAIN, _FREE, _REVISED),
        pairs_per_seed=5,
        from_memory=2,
        max_tokens=1024,
    ),
    "cheap": _Habits(
        rewriting=("rephrase",),
        answering=(_PLAIN, _REVISED),
        pairs_per_seed=2,
        from_memory=1,
        max_tokens=512,
        swap=False,
        reward="quality_per_cost",
    ),
}


def drafted(wish: Wish) -> dict[str, Any]:
    """The config, as plain data in the order in which it is to be read."""
    habits = _HABITS[wish.goal]
    names = named(wish.models)
    first = names[0]
    return {
        "run": {"name": wish.name, "dir": f"runs/{wish.name}", "seed": 17},
        "seeds": {"path": wish.seeds, "format": "auto", "limit": habits.limit},
        "endpoints": {name: _endpoint(wish, number) for number, name in enumerate(names)},
        "agents": {
            "instruction": {prompt: _agent(first, prompt, 0.8, habits) for prompt in habits.rewriting},
            "response": {
                f"{name}{suffix}": _agent(name, prompt, temperature, habits)
                for name in names
                for suffix, prompt, temperature in habits.answering
            },
        },
        "pairs": {"base": [[KEEP, first]], "pool": "all"},
        "sampling": {"pairs_per_seed": habits.pairs_per_seed, "from_memory": habits.from_memory},
        "memory": {"embedder": EMBEDDER},
        "scoring": {"small": wish.small, "large": wish.large},
        "judge": {"endpoint": first, "policy": "lazy", "swap": habits.swap},
        "selection": {"fallback": "base"},
        "evolution": {"reward": habits.reward},
        "budget": {"usd": None, "tokens": None},
        "output": {"format": "messages"},
        "service": {"port": 8765},
    }


def named(models: Sequence[str]) -> list[str]:
    """A short name for each model: `Qwen/Qwen2.5-7B` is `qwen2.5-7b`. No two are alike, nor their agents."""
    names: list[str] = []
    taken = set[str]()
    for model in models:
        short = slug(model.rstrip("/").rpartition("/")[2]) or "model"
        numbered = (f"{short}-{number}" for number in count(2))
        name = next(each for each in chain((short,), numbered) if taken.isdisjoint(_agents_of(each)))
        names.append(name)
        taken.update(_agents_of(name))
    return names


def _agents_of(name: str) -> list[str]:
    return [f"{name}{suffix}" for suffix in _SUFFIXES]


def slug(text: str) -> str:
    """A text as a name in a config: lower case, with dashes for what no name may have."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:MAX_NAME].rstrip("-.")


def run_name(config: Path) -> str:
    """The name of the run that a config file is for."""
    return slug(config.stem) or "run"


def kind_of(base_url: str) -> Literal["openai", "anthropic"]:
    """Whose API a URL speaks: Anthropic's at its own host, OpenAI's everywhere else."""
    host = urlsplit(base_url).hostname or ""
    return "anthropic" if host == "anthropic.com" or host.endswith(".anthropic.com") else "openai"


def _endpoint(wish: Wish, number: int) -> dict[str, Any]:
    model = wish.models[number]
    if wish.base_url is None:
        own = [number] if wish.engine == "vllm" and len(wish.models) > 1 else []  # two on one GPU do not fit
        return {"kind": "local", "engine": wish.engine or "auto", "model": model, "gpus": own}
    return {"kind": kind_of(wish.base_url), "base_url": wish.base_url, "model": model, "api_key": wish.api_key}


def _agent(endpoint: str, prompt: str, temperature: float, habits: _Habits) -> dict[str, Any]:
    return {"endpoint": endpoint, "prompt": prompt, "temperature": temperature, "max_tokens": habits.max_tokens}
