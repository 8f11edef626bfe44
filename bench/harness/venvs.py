"""Where the clients live: ours in this interpreter, each peer in a venv of its own, with pinned versions.

    python -m bench.harness.venvs [PEER ...]

makes the venvs that are missing under `STAR_AGENTS_BENCH_VENVS` (default `~/.cache/star-agents/bench-venvs`) from
`bench/peers/PEER.txt`, one after the other. It needs a package index and some 3 GB.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PINS = Path(__file__).parents[1] / "peers"
PEERS = tuple(sorted(file.stem for file in PINS.glob("*.txt")))

TOKENIZERS = "lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"
"""litellm's wheel carries the files of tiktoken, which it and others would otherwise fetch from the net."""

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NEMO_TELEMETRY_ENABLED": "false",
    "OPENAI_API_KEY": "none",
    "TELEMETRY_ENABLED": "false",
}
"""No peer is to call home while it is measured, nor to look for a key."""


def root() -> Path:
    """The folder of all venvs."""
    return Path(os.environ.get("STAR_AGENTS_BENCH_VENVS", Path.home() / ".cache" / "star-agents" / "bench-venvs"))


def interpreter(venv: str | None) -> Path:
    """The Python of a peer's venv, by its name or its path; None is ours. It need not exist."""
    if venv is not None and "/" in venv:
        return Path(venv)
    return Path(sys.executable) if venv is None else root() / venv / "bin" / "python"


def environment() -> Mapping[str, str]:
    """What every client is started with."""
    found = next((root() / "litellm").glob(TOKENIZERS), None)
    tokenizers = {} if found is None else {"TIKTOKEN_CACHE_DIR": str(found)}
    return {**os.environ, **QUIET, **tokenizers}


def make(peer: str) -> str | None:
    """Make one venv, unless it is there; the reason where that is not possible."""
    folder = root() / peer
    done = folder / "complete"
    pins = (PINS / f"{peer}.txt").read_text()
    if done.exists() and done.read_text() == pins:
        return None
    python = folder / "bin" / "python"
    create = [sys.executable, "-m", "venv", "--clear", str(folder)]
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(PINS / f"{peer}.txt")]
    for command in (create, install):
        finished = subprocess.run(command, check=False, capture_output=True, text=True)
        if finished.returncode:
            return finished.stderr.strip().splitlines()[-1]
    done.write_text(pins)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=PEERS, metavar="PEER", help=f"from: {', '.join(PEERS)}")
    failed = 0
    for peer in parser.parse_args().peers:
        reason = make(peer)
        failed += reason is not None
        print(f"{peer:<16} {root() / peer if reason is None else f'not made: {reason}'}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
