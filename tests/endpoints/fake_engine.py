"""A stand-in for the interpreter that has vLLM: answers the probe, and serves through faultd like an engine.

It has a child of its own, as vLLM has its engine, and it writes more to its output than a pipe would hold.
Behaviour by an argument: `--die CODE`, `--mute` (listens, never answers), `--stubborn` (ignores SIGTERM, and so
does its child), `--moody` (503 at first).
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys

from tests.faultd import faults
from tests.faultd.server import Faultd

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
NOISE = "x" * 1023 + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-m", dest="module")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--die", type=int)
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--moody", action="store_true")
    parser.add_argument("--stubborn", action="store_true")
    return parser.parse_known_args()[0]


def script_of(options: argparse.Namespace) -> faults.Script:
    if options.mute:
        return faults.always(faults.BLACK_HOLE)
    return faults.first(2, faults.failing(503)) if options.moody else faults.never


async def serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with Faultd(script_of(options), port=options.port):
        await stopped.wait()


def main() -> None:
    if sys.argv[1] == "-c":
        sys.stdout.write(json.dumps({"vllm": True, "is_cpu": True, "transformers": False, "missing": ["fastapi"]}))
        return
    options = arguments()
    subprocess.Popen([sys.executable, "-c", STUBBORN if options.stubborn else SLEEPER])
    for _ in range(1024):
        sys.stdout.write(NOISE)
    sys.stdout.write(f"started {' '.join(sys.argv[1:])}\n")
    sys.stdout.flush()
    if options.die is not None:
        sys.stderr.write("the reason why\n")
        sys.exit(options.die)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
