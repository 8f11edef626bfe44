# %% [markdown]
# # Make a data set better, from Python
#
# Any OpenAI-compatible server will do; without one, `star-agents mock-server --port 8000` makes its answers up.
# The cells run from top to bottom, as a script too: `python docs/examples/improve.py`. docs/python.md says more.

# %%
import os
from pathlib import Path

import star_agents

SERVER = os.environ.get("SERVER", "http://127.0.0.1:8000/v1")
MODEL = os.environ.get("MODEL", "smollm2-135m")
SMALL = os.environ.get("SMALL", "smollm2-135m")  # who scores: a packaged model, a folder or a hub id
LARGE = os.environ.get("LARGE", "gemma3-270m")
FOLDER = Path(os.environ.get("FOLDER", "runs/improve"))

# %% [markdown]
# A config is a dict here; the path of a YAML file is as good. Mistakes are told all at once, with their places.

# %%
config = {
    "run": {"name": "improve", "dir": str(FOLDER)},
    "seeds": {"path": "shipped:self-instruct-24", "limit": 12},
    "endpoints": {"server": {"kind": "openai", "base_url": SERVER, "model": MODEL, "concurrency": 8}},
    "agents": {
        "instruction": {"deepen": {"endpoint": "server", "prompt": "deepen", "max_tokens": 64}},
        "response": {
            "careful": {"endpoint": "server", "prompt": "answer", "temperature": 0.2, "max_tokens": 96},
            "free": {"endpoint": "server", "prompt": "answer", "temperature": 0.9, "max_tokens": 96},
        },
    },
    "pairs": {"base": [["keep", "careful"]], "pool": [["keep", "free"], ["deepen", "careful"], ["deepen", "free"]]},
    "sampling": {"pairs_per_seed": 2, "from_memory": 0},
    "memory": {"embedder": None},
    "scoring": {"small": SMALL, "large": LARGE, "max_tokens": 512},
    "judge": {"endpoint": "server"},
    "selection": {"fallback": "base", "truncated": "allow"},
    "evolution": {"batch_size": 4},
    "output": {"format": "messages"},
}

try:
    star_agents.run({**config, "judge": {"endpoint": "sever"}})
except star_agents.ConfigError as error:
    print(error)

# %% [markdown]
# The run. In a notebook: `result = await star_agents.arun(config, ...)`.

# %%
options = star_agents.RunOptions(
    resume=(FOLDER / "run.db").exists(),
    watch=lambda status: print(f"{status.phase}: {status.seeds_done}/{status.seeds_total} seeds"),
)
result = star_agents.run(config, options)
print(f"{result.ending}: {result.num_rows} rows in {result.data_file}")
if result.bill is not None:
    print(f"{result.bill.total.calls} calls, {result.bill.total.tokens} tokens")

# %% [markdown]
# The rows, the weights that were learnt, and what failed for good.

# %%
for row in result:
    print(row["seq"], row["messages"][-1]["content"][:60])
for pair in result.status.pairs:
    print(pair.pair, pair.draws, pair.wins, pair.p)
for failure in result.failures:
    print(failure.endpoint, failure.reason, failure.calls)

# %% [markdown]
# How hard the new rows are for the small model, and the half that teaches it the most.

# %%
scored = star_agents.score(
    result.data_file,
    small=SMALL,
    options=star_agents.ScoreOptions(out=FOLDER / "scores.jsonl", select="ifd", top="50%"),
)
print(scored.report["status"], len(scored.chosen), scored.selected)
for row in scored:
    print(row["small"]["ifd"])
