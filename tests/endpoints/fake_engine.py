"""A stand-in for the interpreter that has vLLM: answers the probe, and serves through the mock server like an engine.

It has a child of its own, as vLLM has its engine core: stop that child and `/health` stays at 200 while no answer
comes, kill it and there is a 500 for everybody and an exit. It writes more to its output than a pipe would hold.
Behaviour by an argument: `--die CODE`, `--mute` (listens, never answers), `--stubborn` (ignores SIGTERM, and so
does its child), `--moody` (503 at first), `--noise-mb N`, `--full-first N FILE` (no memory for the first N starts,
counted in FILE), `--deaf` (counts the same tokens for every prompt), `--no-template` (refuses every chat).
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from star_agents.mock import catalogue
from star_agents.mock.faults import Fault, failing, saying
from star_agents.mock.script import Script, Seen, always, first
from star_agents.mock.server import MockServer

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
NOISE = "x" * 1023 + "\n"
WATCHDOG_S = 0.1
DEAF = saying(
    "deaf",
    {
        "model": "smol",
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "Hm"}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    },
)
NO_TEMPLATE = failing(
    400,
    {
        "message": "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
        "template if the tokenizer does not define one.",
        "type": "BadRequestError",
    },
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="api_server.py", allow_abbrev=False)
    parser.add_argument("-m", dest="module")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--die", type=int)
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--moody", action="store_true")
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--no-template", action="store_true")
    parser.add_argument("--noise-mb", type=int, default=1)
    parser.add_argument("--full-first", nargs=2)
    options, unknown = parser.parse_known_args()
    if "--no-such-flag" in unknown:
        parser.error("unrecognized arguments: --no-such-flag")
    return options


def script_of(options: argparse.Namespace, engine: "subprocess.Popen[bytes]") -> Script:
    if options.mute:
        return always(catalogue.BLACK_HOLE)
    if options.moody:
        return first(2, failing(503))
    if options.deaf:
        return always(DEAF)
    if options.no_template:
        return always(NO_TEMPLATE)

    def by_engine(_: Seen) -> Fault | None:
        if engine.poll() is not None:
            return failing(500, {"message": "EngineCore encountered an issue", "type": "InternalServerError"})
        state = Path(f"/proc/{engine.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        return catalogue.BLACK_HOLE if state == "T" else None

    return by_engine


async def serve(options: argparse.Namespace, engine: "subprocess.Popen[bytes]") -> None:
    stopped = asyncio.Event()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with MockServer(script_of(options, engine), port=options.port):
        while not stopped.is_set():
            await asyncio.sleep(WATCHDOG_S)
            if engine.poll() is not None:
                await asyncio.sleep(5 * WATCHDOG_S)
                sys.stderr.write("(APIServer pid=1) ERROR vllm.v1.engine.exceptions.EngineDeadError: see above\n")
                sys.stderr.write("INFO: Application shutdown complete.\n")
                return


def fill(limit: int, counter: Path) -> None:
    """Die of want of memory for the first starts."""
    starts = int(counter.read_text("utf-8")) + 1 if counter.exists() else 1
    counter.write_text(str(starts), "utf-8")
    if starts <= limit:
        sys.stderr.write("(EngineCore pid=7) ERROR 11-22 [core.py:1] ")
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")


def main() -> None:
    if sys.argv[1] == "-c":
        sys.stdout.write(
            json.dumps({"vllm": True, "is_cpu": True, "transformers": False, "missing": ["fastapi"], "drains": False})
        )
        return
    options = arguments()
    if options.full_first:
        fill(int(options.full_first[0]), Path(options.full_first[1]))
    engine = subprocess.Popen([sys.executable, "-c", STUBBORN if options.stubborn else SLEEPER])
    for _ in range(1024 * options.noise_mb):
        sys.stdout.write(NOISE)
    sys.stdout.write(f"started {' '.join(sys.argv[1:])}\n")
    sys.stdout.flush()
    if options.die is not None:
        sys.stderr.write("ValueError: the reason why\n")
        sys.exit(options.die)
    asyncio.run(serve(options, engine))


if __name__ == "__main__":
    main()
