"""The life of a model server that we start, with an engine that starts at once."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.errors import ModelServerError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.servers import engines, orphans
from star_agents.endpoints.servers.engines import Installation
from star_agents.endpoints.servers.launcher import Machine
from star_agents.endpoints.servers.local import LocalServer, sweep
from star_agents.endpoints.servers.port import HeldPort, free_port
from star_agents.endpoints.servers.restarts import RestartOptions
from star_agents.endpoints.servers.supervisor import ServerState, Supervision
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.endpoints.conftest import Run
from tests.endpoints.simulated import request
from tests.loops import run_real

AT_ONCE = Supervision(start=RestartOptions(max_crashes=3, backoff_s=(0.01, 0.02)))
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


@pytest.mark.fault("F-46", "F-53")
def test_it_answers_and_leaves_nothing_behind(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """Started when it answers, its ten megabytes of output in a file, and gone with all its children."""

    async def main() -> None:
        async with LocalServer(replace(spec, args=("--noise-mb", "10")), tmp_path) as server:
            assert server.engine == "vllm"
            assert await found(tmp_path) == 2
            endpoint = server.endpoint(EndpointSpec(name="smol", base_urls=(), model="", concurrency=4))
            assert (endpoint.model, endpoint.label, endpoint.base_urls) == ("smol", "smol", (server.base_url,))
            async with Fleet([endpoint], 7) as fleet:
                assert (await fleet.complete(request(1, "smol"))).text
        assert await found(tmp_path) == 0

    run(main())
    log = (tmp_path / "logs" / "server-smol.log").read_text()
    assert len(log) > 10 * 2**20
    assert "--host 127.0.0.1" in log


@pytest.mark.fault("F-46")
def test_a_server_that_is_still_loading_is_waited_for(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """503 is not yet an answer."""

    async def main() -> None:
        async with LocalServer(replace(spec, args=("--moody",)), tmp_path):
            pass

    run(main())


def test_a_start_tells_how_far_it_is(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """Its time against its deadline, and the last line of its log; nothing more once it is up."""

    async def main() -> None:
        muted = LocalServer(replace(spec, args=("--mute",)), tmp_path)
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(muted.start())
            while "of at most 20 s; started" not in (told := str(await muted.starting())):
                assert not starting.done(), told
                await asyncio.sleep(0.01)  # its log is all that can be looked at
            starting.cancel()
        assert told.startswith("model server smol: ")
        async with LocalServer(replace(spec, name="up"), tmp_path) as server:
            assert await server.starting() is None

    run(main())


@pytest.mark.fault("F-46")
def test_a_server_that_dies_says_why(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """After three tries: the cause comes first, then the code and the last lines of its log; no child is left."""

    async def main() -> None:
        with pytest.raises(ModelServerError) as caught:
            async with LocalServer(replace(spec, args=("--die", "3")), tmp_path, supervision=AT_ONCE):
                pass
        assert str(caught.value).startswith(
            "model server smol (/models/smol, vllm): ValueError: the reason why "
            f"(it ended with code 3 before it answered); the last of {tmp_path}/logs/server-smol.log:\nx"
        )
        assert await found(tmp_path) == 0

    run(main())
    assert (tmp_path / "logs" / "server-smol.log").read_text().count("started") == 3


@pytest.mark.fault("F-46")
def test_a_flag_that_is_not_taken_is_not_tried_again(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """Waiting does not mend it."""

    async def main() -> None:
        with pytest.raises(ModelServerError, match=r"one of its arguments .* --no-such-flag \(it ended with code 2"):
            async with LocalServer(replace(spec, args=("--no-such-flag",)), tmp_path):
                pass

    run(main())
    assert (tmp_path / "logs" / "server-smol.log").read_text().count("error:") == 1


@pytest.mark.fault("F-46", "F-50")
def test_memory_that_is_not_there_yet_is_tried_again(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """Two starts die of it, the third finds room."""
    full = replace(spec, args=("--full-first", "2", str(tmp_path / "starts")))

    async def main() -> None:
        async with LocalServer(full, tmp_path, supervision=AT_ONCE) as server:
            assert (server.status().state, server.status().reason) == (ServerState.UP, None)

    run(main())
    assert (tmp_path / "starts").read_text() == "3"


@pytest.mark.fault("F-46", "F-48")
def test_a_server_that_listens_and_says_nothing_has_not_started(
    run: Run, spec: LocalServerSpec, tmp_path: Path
) -> None:
    """The start has a deadline, and what it started is gone after it."""

    async def main() -> None:
        with pytest.raises(ModelServerError, match=r"did not answer within 1 s"):
            async with LocalServer(replace(spec, args=("--mute",), start_s=1.0), tmp_path):
                pass
        assert await found(tmp_path) == 0

    run(main())


@pytest.mark.fault("F-54")
@pytest.mark.parametrize(
    ("flag", "words"),
    [("--deaf", "its chat template loses what the user says"), ("--no-template", "it has no chat template")],
)
def test_a_chat_template_that_is_missing_or_broken(
    run: Run, spec: LocalServerSpec, tmp_path: Path, flag: str, words: str
) -> None:
    """A golden prompt finds it before the first call, and the error says what to do."""

    async def main() -> None:
        with pytest.raises(ModelServerError, match=words) as caught:
            async with LocalServer(replace(spec, args=(flag,)), tmp_path):
                pass
        assert "--chat-template" in str(caught.value)

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


@pytest.mark.fault("F-46")
def test_another_port_is_tried(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """A port that somebody took in the meantime costs one look."""

    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            ports = [taken.getsockname()[1], free_port()]
            machine = Machine(choose_port=iter(ports).__next__)
            async with LocalServer(spec, tmp_path, machine=machine) as server:
                assert server.base_url == f"http://127.0.0.1:{ports[1]}/v1"

    run(main())


@pytest.mark.fault("F-46")
def test_a_held_port_is_nobody_elses() -> None:
    """It cannot be bound, calls to it are refused, and a server that may reuse addresses gets it all the same."""
    held = HeldPort()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", held.number))
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", held.number)) != 0
    with socket.create_server(("127.0.0.1", held.number)):  # as uvicorn and vLLM do
        socket.create_connection(("127.0.0.1", held.number)).close()
    held.close()


RUNNER = """
import asyncio, sys
from pathlib import Path
from star_agents.endpoints.servers.child import Child
from star_agents.endpoints.servers.local import LocalServer
from star_agents.endpoints.spec import LocalServerSpec

async def guarded(python, run_dir):
    async with LocalServer(LocalServerSpec(name="smol", model="/models/smol", python=python), run_dir):
        print("up", flush=True)
        await asyncio.sleep(600)

async def unguarded(python, run_dir):
    child = Child("smol", run_dir)
    await child.spawn([python, "-m", "x", "--port", "0"], {})
    while b"started" not in child.log.path.read_bytes():
        await asyncio.sleep(0.05)
    print("up", flush=True)
    await asyncio.sleep(600)

asyncio.run(globals()[sys.argv[1]](sys.argv[2], Path(sys.argv[3])))
"""


NUM_PROCESSES = 2
"""The server and its child."""


def killed_run(kind: str, python: str, run_dir: Path) -> set[orphans.Process]:
    """Start a server in a process of its own, kill that process with SIGKILL, and return the processes it had."""
    command = [sys.executable, "-c", RUNNER, kind, python, str(run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        servers = orphans.find(run_dir)
        while len(servers) < NUM_PROCESSES:  # a process has no environment to be known by while it becomes a program
            time.sleep(0.01)
            servers = orphans.find(run_dir)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    return servers


@pytest.mark.fault("F-49")
def test_what_a_killed_run_left_is_swept(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """The next start of the same folder finds the server and its child, and ends both."""
    assert len(killed_run("unguarded", spec.python, tmp_path)) == NUM_PROCESSES

    async def main() -> None:
        assert await sweep(tmp_path / "another") == 0
        assert await sweep(tmp_path) == 2

    run(main())
    assert orphans.find(tmp_path) == set()


@pytest.mark.fault("F-49")
def test_a_server_clears_its_own_place(spec: LocalServerSpec, tmp_path: Path) -> None:
    """Even where nobody swept before."""
    assert len(killed_run("unguarded", spec.python, tmp_path)) == NUM_PROCESSES

    async def main() -> None:
        async with LocalServer(spec, tmp_path):
            assert await found(tmp_path) == 2

    run_real(main())


@pytest.mark.fault("F-49")
@pytest.mark.parametrize("times", [2, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_no_server_outlives_a_run_that_is_killed(spec: LocalServerSpec, tmp_path: Path, times: int) -> None:
    """Its guard ends it with its child within seconds of the SIGKILL, with no next start; again and again."""
    for _ in range(times):
        servers = killed_run("guarded", spec.python, tmp_path)
        assert len(servers) == NUM_PROCESSES
        gone_by = time.monotonic() + 10.0
        while any(server.is_alive() for server in servers):
            assert time.monotonic() < gone_by
            time.sleep(0.01)
    assert orphans.find(tmp_path) == set()


@pytest.mark.fault("F-49")
def test_a_guard_touches_nobody_elses_server(spec: LocalServerSpec, tmp_path: Path) -> None:
    """A run that was resumed at once is safe from the guard of the run before it."""

    async def main() -> None:
        async with LocalServer(spec, tmp_path):
            others = await asyncio.to_thread(orphans.guard_command, tmp_path, "smol")
            others[-1] = f"{orphans.OWNER}=1:1"
            guard = await asyncio.create_subprocess_exec(*others, stdin=asyncio.subprocess.DEVNULL)
            assert await guard.wait() == 0
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


NOTHING = {"vllm": False, "is_cpu": False, "transformers": False, "missing": ["fastapi", "uvicorn"], "drains": None}


def test_which_engine_is_taken(spec: LocalServerSpec) -> None:
    """`auto` prefers vLLM; what was asked for by name is never replaced by the other."""
    both = {"vllm": True, "is_cpu": True, "transformers": True, "missing": [], "drains": None}
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
    assert "--shutdown-timeout 5" in " ".join(engines.command(spec, Installation("vllm", drains=True), 8001))
    cpu = engines.command(spec, Installation("vllm", is_cpu=True), 8001)
    assert "--no-enable-chunked-prefill" in cpu
    assert cpu[-2:] == ["--max-model-len", "4096"]
    assert engines.command(spec, Installation("transformers"), 8001) == [
        *("py", "-m", "transformers.cli.transformers", "serve", "/models/smol"),
        *("--host", "127.0.0.1", "--port", "8001", "--max-model-len", "4096"),
    ]


def test_what_a_server_may_see_of_us(spec: LocalServerSpec) -> None:
    """Its own key by the environment, never on the command line, and none of our other secrets."""
    environ = {
        "PATH": "/bin",
        "HF_TOKEN": "hf",
        "OPENAI_API_KEY": "sk",
        "AWS_SECRET_ACCESS_KEY": "aws",
        "NVIDIA_API_KEY": "nv",
        "NVIDIA_DRIVER_CAPABILITIES": "all",
        "PYTHONOPTIMIZE": "2",
        "VLLM_API_KEY": "old",
        "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1",
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
        "NVIDIA_API_KEY": None,
        "NVIDIA_DRIVER_CAPABILITIES": "all",
        "PYTHONOPTIMIZE": None,
        "VLLM_API_KEY": "new",
        "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": None,
        "CUDA_VISIBLE_DEVICES": "2,3",
    }
    assert seen["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "hf" not in repr(replace(spec, environ=environ))


def test_the_fitted_endpoint_of_each_engine(spec: LocalServerSpec, tmp_path: Path) -> None:
    """`transformers serve` wants its own path as the model, sampling switched on, and no key."""
    server = LocalServer(spec, tmp_path)
    given = EndpointSpec(name="smol", base_urls=(), model="", extra_body={"top_k": 5})
    server._launcher.installed = Installation("transformers")
    fitted = server.endpoint(given)
    assert (fitted.model, fitted.label, fitted.api_key, fitted.lists_models) == ("/models/smol", "smol", None, False)
    assert fitted.extra_body == {**engines.TRANSFORMERS_BODY, "top_k": 5}
    server._launcher.installed = Installation("vllm")
    fitted = server.endpoint(given)
    assert (fitted.model, fitted.lists_models, fitted.extra_body) == ("smol", True, {"top_k": 5})
    assert fitted.api_key is not None
