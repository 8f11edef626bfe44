"""The life of a model server that we start, with an engine that starts at once."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.errors import ModelServerError
from star_agents.endpoints import engines, orphans
from star_agents.endpoints.engines import Installation
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.local import LocalServer, free_port, sweep
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.endpoints.conftest import Run
from tests.endpoints.simulated import request
from tests.loops import run_real

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spec(tmp_path: Path) -> LocalServerSpec:
    """A server whose interpreter is the fake engine."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.endpoints.fake_engine "$@"\n')
    python.chmod(0o700)
    return LocalServerSpec(name="smol", model="/models/smol", python=str(python), start_s=20.0, stop_s=5.0)


async def found(run_dir: Path) -> int:
    """Processes of the run's servers."""
    return len(await asyncio.to_thread(orphans.find, run_dir))


def test_it_answers_and_leaves_nothing_behind(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-46, F-53: started when it answers, its megabyte of output in a file, and gone with all its children."""

    async def main() -> None:
        async with LocalServer(spec, tmp_path) as server:
            assert server.engine == "vllm"
            assert await found(tmp_path) == 2
            endpoint = server.endpoint(EndpointSpec(name="smol", base_urls=(), model="", concurrency=4))
            assert (endpoint.model, endpoint.label, endpoint.base_urls) == ("smol", "smol", (server.base_url,))
            async with Fleet([endpoint], 7) as fleet:
                assert (await fleet.complete(request(1, "smol"))).text
        assert await found(tmp_path) == 0

    run(main())
    log = (tmp_path / "logs" / "server-smol.log").read_text()
    assert len(log) > 2**20
    assert "--host 127.0.0.1" in log


def test_a_server_that_is_still_loading_is_waited_for(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-46: 503 is not yet an answer."""

    async def main() -> None:
        async with LocalServer(replace(spec, args=("--moody",)), tmp_path):
            pass

    run(main())


def test_f46_a_server_that_dies_says_why(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-46: the code and the last lines of its log are in the error, and its child is not left."""

    async def main() -> None:
        with pytest.raises(ModelServerError, match=r"ended with code 3 before it answered") as caught:
            async with LocalServer(replace(spec, args=("--die", "3")), tmp_path):
                pass
        assert "the reason why" in str(caught.value)
        assert await found(tmp_path) == 0

    run(main())


def test_f48_a_server_that_listens_and_says_nothing_has_not_started(
    run: Run, spec: LocalServerSpec, tmp_path: Path
) -> None:
    """F-48: the start has a deadline, and what it started is gone after it."""

    async def main() -> None:
        with pytest.raises(ModelServerError, match=r"did not answer within 1 s"):
            async with LocalServer(replace(spec, args=("--mute",), start_s=1.0), tmp_path):
                pass
        assert await found(tmp_path) == 0

    run(main())


def test_a_server_that_will_not_go_is_killed(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """SIGKILL follows SIGTERM when the time is up."""

    async def main() -> None:
        async with LocalServer(replace(spec, args=("--stubborn",), stop_s=0.2), tmp_path):
            pass
        assert await found(tmp_path) == 0

    run(main())


def test_a_cancelled_start_leaves_nothing(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """A run that is stopped while its servers load takes them along."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0), LocalServer(replace(spec, args=("--mute",)), tmp_path):
                pass
        assert await found(tmp_path) == 0

    run(main())


def test_another_port_is_tried(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-46: a port that somebody took in the meantime costs one try."""

    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            ports = [taken.getsockname()[1], free_port()]
            async with LocalServer(spec, tmp_path, choose_port=iter(ports).__next__) as server:
                assert server.base_url == f"http://127.0.0.1:{ports[1]}/v1"

    run(main())


def test_f47_a_death_is_told(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-47: whoever waits for it hears of a server that ends by itself."""

    async def main() -> None:
        async with LocalServer(spec, tmp_path) as server:
            server.kill()
            assert "ended by itself with code -9" in str(await server.died())

    run(main())


RUNNER = """
import asyncio, sys
from pathlib import Path
from star_agents.endpoints.local import LocalServer
from star_agents.endpoints.spec import LocalServerSpec

async def main():
    spec = LocalServerSpec(name="smol", model="/models/smol", python=sys.argv[1])
    async with LocalServer(spec, Path(sys.argv[2])):
        print("up", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def killed_run(python: str, run_dir: Path) -> int:
    """Start a server in a process of its own, kill that process with SIGKILL, and return the processes it left."""
    with subprocess.Popen([sys.executable, "-c", RUNNER, python, str(run_dir)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    return len(orphans.find(run_dir))


def test_f49_what_a_killed_run_left_is_swept(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-49: the next start of the same folder finds the server and its child, and ends both."""
    assert killed_run(spec.python, tmp_path) == 2

    async def main() -> None:
        assert await sweep(tmp_path / "another") == 0
        assert await sweep(tmp_path) == 2

    run(main())
    assert orphans.find(tmp_path) == set()


def test_f49_a_server_clears_its_own_place(spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-49: even where nobody swept before."""
    assert killed_run(spec.python, tmp_path) == 2

    async def main() -> None:
        async with LocalServer(spec, tmp_path):
            assert await found(tmp_path) == 2

    run_real(main())


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    """Missing, or no Python: one clear line."""

    async def start(python: str) -> str:
        with pytest.raises(ModelServerError) as caught:
            async with LocalServer(LocalServerSpec(name="smol", model="m", python=python), tmp_path):
                pass
        return str(caught.value)

    assert "cannot run /no/python" in run_real(start("/no/python"))
    assert "/bin/echo is not a Python interpreter" in run_real(start("/bin/echo"))


NOTHING = {"vllm": False, "is_cpu": False, "transformers": False, "missing": ["fastapi", "uvicorn"]}


def test_which_engine_is_taken(spec: LocalServerSpec) -> None:
    """`auto` prefers vLLM; what was asked for by name is never replaced by the other."""
    both = {"vllm": True, "is_cpu": True, "transformers": True, "missing": []}
    assert engines.installation(spec, both) == Installation("vllm", is_cpu=True)
    assert engines.installation(replace(spec, engine="transformers"), both) == Installation("transformers")
    assert engines.installation(spec, {**both, "vllm": False}) == Installation("transformers")
    with pytest.raises(ModelServerError, match="has no vLLM"):
        engines.installation(replace(spec, engine="vllm"), {**both, "vllm": False})
    with pytest.raises(ModelServerError, match="lacks transformers, fastapi, uvicorn: install star-agents"):
        engines.installation(spec, NOTHING)


def test_command_lines(spec: LocalServerSpec) -> None:
    """Loopback alone, the user's arguments last, CPU flags on a CPU alone."""
    spec = replace(spec, python="py", args=("--max-model-len", "4096"))
    gpu = engines.command(spec, Installation("vllm"), 8001)
    assert gpu == [
        *("py", "-m", "vllm.entrypoints.openai.api_server", "--model", "/models/smol"),
        *("--host", "127.0.0.1", "--port", "8001", "--served-model-name", "smol", "--disable-uvicorn-access-log"),
        *("--max-model-len", "4096"),
    ]
    cpu = engines.command(spec, Installation("vllm", is_cpu=True), 8001)
    assert "--no-enable-chunked-prefill" in cpu
    assert cpu[-2:] == ["--max-model-len", "4096"]
    assert engines.command(spec, Installation("transformers"), 8001) == [
        *("py", "-m", "transformers.cli.transformers", "serve", "/models/smol"),
        *("--host", "127.0.0.1", "--port", "8001", "--max-model-len", "4096"),
    ]


def test_f21_what_a_server_may_see_of_us(spec: LocalServerSpec) -> None:
    """Its own key by the environment, never on the command line, and none of our other secrets."""
    environ = {
        "PATH": "/bin",
        "HF_TOKEN": "hf",
        "OPENAI_API_KEY": "sk",
        "AWS_SECRET_ACCESS_KEY": "aws",
        "PYTHONOPTIMIZE": "2",
        "VLLM_API_KEY": "old",
        "CUDA_VISIBLE_DEVICES": "0,1,2,3",
    }
    seen = engines.environment(
        replace(spec, environ=environ, gpus=(2, 3)), Installation("vllm", is_cpu=True), key="new"
    )
    assert {name: seen.get(name) for name in environ} == {
        "PATH": "/bin",
        "HF_TOKEN": "hf",
        "OPENAI_API_KEY": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "PYTHONOPTIMIZE": None,
        "VLLM_API_KEY": "new",
        "CUDA_VISIBLE_DEVICES": "2,3",
    }
    assert seen["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "hf" not in repr(replace(spec, environ=environ))


def test_the_fitted_endpoint_of_each_engine(spec: LocalServerSpec, tmp_path: Path) -> None:
    """`transformers serve` wants its own path as the model, sampling switched on, and no key."""
    server = LocalServer(spec, tmp_path)
    given = EndpointSpec(name="smol", base_urls=(), model="", extra_body={"top_k": 5})
    server._installed = Installation("transformers")
    fitted = server.endpoint(given)
    assert (fitted.model, fitted.label, fitted.api_key, fitted.lists_models) == ("/models/smol", "smol", None, False)
    assert fitted.extra_body == {**engines.TRANSFORMERS_BODY, "top_k": 5}
    server._installed = Installation("vllm")
    fitted = server.endpoint(given)
    assert (fitted.model, fitted.lists_models, fitted.extra_body) == ("smol", True, {"top_k": 5})
    assert fitted.api_key is not None
