"""A running run is seen, steered and fed from outside, by command and over its socket."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from star_agents.client.connection import address_of, answered, ask
from star_agents.core.errors import ConfigError, ServiceGoneError, ServiceRefusedError
from star_agents.storage.folder import RunFolder
from star_agents.storage.rows import iter_rows
from tests.process.harness import PATIENCE_S, ROOT, Run, mock_endpoint, tiny_models, wait_for
from tests.process.test_signals import star_agents

pytestmark = pytest.mark.timeout(300)

NUM_FILE = 4


def rows_of(*names: str) -> bytes:
    return b"".join(json.dumps({"instruction": name, "input": "", "output": ""}).encode() + b"\n" for name in names)


def feed(run: Run, content: bytes, query: str = "") -> int:
    lines = "application/jsonl"
    with answered(
        address_of(run.run_dir), "POST", f"/api/v1/seeds{query}", content=content, content_type=lines
    ) as reply:
        return int(json.loads(reply.read())["fed"])


def get(run: Run, path: str) -> Any:  # noqa: ANN401  # plain data
    return ask(address_of(run.run_dir), "GET", path)


def until(run: Run, process: "subprocess.Popen[str]", state: Callable[[dict[str, Any]], bool], what: str) -> None:
    """Wait until the status of a run is as it should be."""

    def is_so() -> bool:
        assert process.poll() is None, run.output()
        try:
            return state(get(run, "/api/v1/status"))
        except (ServiceGoneError, ServiceRefusedError):  # not yet, or the address is of one that was killed
            return False

    wait_for(is_so, what)


def told(*arguments: str) -> str:
    done = star_agents(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_fed_paused_retuned_and_drained(tmp_path: Path) -> None:
    """Every verb on one run that is kept alive; what it was fed is in the data set, and the next start goes on."""
    with mock_endpoint(tmp_path, "--latency-ms", "20") as endpoint:
        service = {"keep_alive": True, "port": None}
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": NUM_FILE}, "service": service})
        process = run.start()
        until(run, process, lambda now: now["seeds_done"] == NUM_FILE, "the seeds of the file")
        address = address_of(run.run_dir)
        assert address.port is None
        assert address.socket is not None
        assert stat.S_IMODE(Path(address.socket).stat().st_mode) == 0o600

        assert feed(run, rows_of("fed a", "fed b")) == 2
        assert feed(run, rows_of("fed a", "fed b", "fed c"), "?at=0") == 3
        with pytest.raises(ConfigError, match="line 2"):
            feed(run, rows_of("x") + b"{}\n")
        with pytest.raises(ServiceRefusedError, match="3 rows have been fed"):
            feed(run, rows_of("x"), "?at=9")
        until(run, process, lambda now: now["seeds_done"] == NUM_FILE + 3, "the seeds that were fed")

        run_dir = str(run.run_dir)
        assert told("pause", run_dir).strip() == told("pause", run_dir).strip() == "paused"
        feed(run, rows_of("fed d"))
        calls = endpoint.sends().total()
        assert "paused" in told("top", run_dir, "--once")
        assert get(run, "/api/v1/status")["seeds_in_flight"] == 0
        assert endpoint.sends().total() == calls
        limits = told("retune", run_dir, "endpoints.smol.requests_per_minute=6000", "endpoints.smol.concurrency=2")
        assert "endpoints.smol.concurrency: 2" in limits
        assert get(run, "/api/v1/endpoints")["endpoints"][0]["limit"] <= 2
        refused = star_agents(
            "retune", run_dir, "endpoints.smol.model=x", "budget.usd=-1", "endpoints.smol.concurrency=9"
        )
        assert refused.returncode == 78
        assert "endpoints.smol.model: cannot be set while a run runs" in refused.stderr
        wide = star_agents("retune", run_dir, "endpoints.smol.concurrency=9")
        assert "at most 4 without a new start" in wide.stderr
        assert told("resume", run_dir).strip() == "running"
        until(run, process, lambda now: now["seeds_done"] == NUM_FILE + 4, "the seed that came while it was paused")

        check_metrics(run)
        versions = get(run, "/api/v1/weights/history")["versions"]
        assert [one["version"] for one in versions] == list(range(1, len(versions) + 1))
        check_orders(run)
        assert told("drain", run_dir).strip() == "draining"
        assert process.wait(PATIENCE_S) == 0, run.output()
        run.changes["service"] = {"keep_alive": False, "port": None}
        run.finish()
    questions = {row.graded.settled.plan.seed.number: row.graded.settled.plan.seed.instruction for row in
                 iter_rows(RunFolder(run.run_dir).database)}  # fmt: skip
    assert [questions[number] for number in range(NUM_FILE, NUM_FILE + 4)] == ["fed a", "fed b", "fed c", "fed d"]
    assert len(questions) == len(run.rows()) + len(run.dropped()) == NUM_FILE + 4


def check_orders(run: Run) -> None:
    """Everything that was ordered is on record, by whom, and what came of it; what was wrong from the start is none."""
    door = f"socket:uid={os.getuid()}:token"
    found = get(run, "/api/v1/commands")["commands"]
    assert {one["actor"] for one in found} == {door}
    done = ["seeds", "seeds", "pause", "pause", "seeds", "retune", "resume"]
    assert [one["verb"] for one in found if one["outcome"] == "done"] == done
    refused = [one for one in found if one["outcome"] == "refused"]
    assert [one["verb"] for one in refused] == ["seeds", "retune", "retune"]
    assert "3 rows have been fed" in refused[0]["answer"][0]
    assert get(run, f"/api/v1/commands?after={found[-1]['id']}") == {"commands": []}
    last = told("status", str(run.run_dir))
    assert f"resume by {door}: done" in last
    assert "retune endpoints.smol.concurrency=9 endpoints.smol.concurrency: at most 4" not in last


def check_metrics(run: Run) -> None:
    """The page of a run that works is read by Prometheus' own parser, and its figures are those of the status."""
    with answered(address_of(run.run_dir), "GET", "/metrics") as reply:
        families = {family.name: family for family in text_string_to_metric_families(reply.read().decode())}
    assert sum(sample.value for sample in families["star_agents_rows"].samples) == NUM_FILE + 4
    assert sum(sample.value for sample in families["star_agents_pair_probability"].samples) == pytest.approx(1.0)
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["star_agents_event_loop_lag_seconds"].type == "histogram"


@pytest.mark.fault("F-66")
@pytest.mark.parametrize("loop", [(), ("--no-uvloop",)], ids=["uvloop", "asyncio"])
def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: tuple[str, ...]) -> None:
    """Ready when the run has begun, alive while it goes on, stopping when it drains."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(PATIENCE_S)
    name = f"@star-agents-test-{os.getpid()}-{len(loop)}"
    listener.bind("\0" + name[1:])
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with listener, mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 3}, "service": {"keep_alive": True}})
        process = run.start(*loop)
        heard: list[str] = []
        while not {"READY=1", "WATCHDOG=1"} <= set(heard):
            heard += listener.recv(4096).decode().splitlines()
        process.terminate()
        while "STOPPING=1" not in heard:
            heard += listener.recv(4096).decode().splitlines()
        assert process.wait(PATIENCE_S) == 0, run.output()
        assert any(line.startswith("STATUS=starting the scorers") for line in heard)


@pytest.mark.slow
def test_a_detached_run_says_where_it_is(tmp_path: Path) -> None:
    """The record is JSON, in the run folder too; the run outlives who started it; a second one is turned away."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 3}, "service": {"keep_alive": True}})
        config = str(run.config())
        record = json.loads(told("serve-run", config, "--detach"))
        pid = int(record["pid"])
        try:
            assert json.loads((run.run_dir / "launch.json").read_text()) == record
            assert os.getsid(pid) == pid
            assert star_agents("serve-run", config, "--resume", "--detach").returncode == 73
            wait_for(lambda: get(run, "/readyz") == {"ready": True} if is_ready(run) else False, "the run")
            assert told("drain", str(run.run_dir)).strip() == "draining"
            wait_for(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid), "the end of the run")
        finally:
            subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)
        assert "stopped on request" in Path(record["log"]).read_text()
        refused = star_agents("serve-run", config, "--detach")
        assert refused.returncode == 1
        assert "code 73" in refused.stderr
        assert "add --resume to go on with it" in refused.stderr


def is_ready(run: Run) -> bool:
    try:
        return bool(get(run, "/readyz")["ready"])
    except ServiceRefusedError:
        return False


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


CONSUMER = """
import json, os, sys
from pathlib import Path
from star_agents.client import TailOptions, stream_rows

out = Path(sys.argv[2])
text = out.read_text() if out.exists() else ""
whole = text[: text.rfind("\\n") + 1]
after = json.loads(whole.splitlines()[-1])["seq"] if whole else 0
with out.open("r+" if out.exists() else "w") as stream:
    stream.truncate(len(whole.encode()))
    stream.seek(0, 2)
    for row in stream_rows(sys.argv[1], after=after, options=TailOptions(patience_s=120)):
        stream.write(json.dumps(row) + "\\n")
        stream.flush()
"""


@pytest.mark.slow
@pytest.mark.fault("F-64")
def test_rows_are_tailed_over_kills_of_either_side(tmp_path: Path) -> None:
    """Three kills of the service and three of the consumer: every row once, in the order of the commits."""
    out = tmp_path / "tailed.jsonl"
    script = tmp_path / "consumer.py"
    script.write_text(CONSUMER)

    def lines() -> list[str]:
        return out.read_text().splitlines() if out.exists() else []

    def consume() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, str(script), str(run.run_dir), str(out)], cwd=ROOT)

    with mock_endpoint(tmp_path, "--latency-ms", "60") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"sampling": {"max_in_flight": 3}})
        for _ in range(3):
            seen = len(lines())
            process, consumer = run.start(), consume()
            wait_for(lambda seen=seen: len(lines()) > seen, f"a row: {run.output()}")  # type: ignore[misc]
            consumer.kill()
            consumer.wait()
            again = consume()
            wait_for(lambda seen=seen: len(lines()) > seen + 1, f"a row: {run.output()}")  # type: ignore[misc]
            process.kill()
            process.wait()
            again.kill()
            again.wait()
        last = consume()
        run.finish()
        assert last.wait(PATIENCE_S) == 0
    tailed = [json.loads(line) for line in lines()]
    stored = list(iter_rows(RunFolder(run.run_dir).database, order="commit", after=0))
    by_seed = {row["metadata"]["seed"]: row for row in run.rows()}
    expected = [(row.seq, row.graded.settled.plan.seed.number) for row in stored]
    kept = [(seq, seed) for seq, seed in expected if seed in by_seed]
    assert [(row["seq"], row["metadata"]["seed"]) for row in tailed] == kept
    assert all(row["messages"] == by_seed[row["metadata"]["seed"]]["messages"] for row in tailed)


@pytest.mark.slow
@pytest.mark.fault("F-64")
def test_a_followed_folder_is_read_once_over_a_kill(tmp_path: Path) -> None:
    """Files come and grow before and after a SIGKILL: every row is one seed, under a number that stays."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(rows_of("a0", "a1", "a2"))
    with mock_endpoint(tmp_path, "--latency-ms", "20") as endpoint:
        changes: dict[str, dict[str, Any]] = {"seeds": {"limit": 2, "follow": str(folder)}}
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), changes | {"service": {"keep_alive": True}})
        process = run.start()
        until(run, process, lambda now: now["seeds_fed"] == 3, "the first file")
        (folder / "b.jsonl").write_bytes(rows_of("b0"))
        until(run, process, lambda now: now["seeds_fed"] == 4, "the second file")
        process.kill()
        process.wait()
        with (folder / "a.jsonl").open("ab") as stream:
            stream.write(rows_of("a3"))
        process = run.start()
        until(run, process, lambda now: now["seeds_done"] == 7, "every row")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, run.output()
    rows = iter_rows(RunFolder(run.run_dir).database)
    named = [(row.graded.settled.plan.seed.number, row.graded.settled.plan.seed.instruction) for row in rows]
    assert named[2:] == [(2, "a0"), (3, "a1"), (4, "a2"), (5, "b0"), (6, "a3")]
    assert [number for number, _ in named[:2]] == [0, 1]
