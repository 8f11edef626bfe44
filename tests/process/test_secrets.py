"""P16 for a whole run: its folder, its output and its command line hold no key, whatever the endpoint does."""

from pathlib import Path

import pytest

from star_agents.client.connection import address_of, answered
from tests.process.harness import PATIENCE_S, Run, mock_endpoint, tiny_models, wait_for

pytestmark = pytest.mark.timeout(300)

KEY = "sk-canary-51b7e0d2aa"


def page(run: Run, path: str) -> bytes:
    with answered(address_of(run.run_dir), "GET", path) as reply:
        return reply.read()


def test_a_run_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of all sends fail in every mendable way, with DEBUG; then all that it wrote and said is looked at."""
    monkeypatch.setenv("STAR_AGENTS_TEST_CANARY", KEY)
    with mock_endpoint(tmp_path, "--latency-ms", "20", "--fault", "mendable:0.2") as endpoint:
        smol = {"kind": "openai", "base_url": endpoint.base_url, "model": "m", "api_key": "${STAR_AGENTS_TEST_CANARY}"}
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"endpoints": {"smol": smol}})
        process = run.start("--debug")
        wait_for(lambda: endpoint.sends().total() > 8, "eight calls")
        told = [page(run, path) for path in ("/metrics", "/api/v1/status", "/api/v1/endpoints", "/api/v1/agents")]
        command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert process.wait(PATIENCE_S) == 0, run.output()

    written = {str(file): file.read_bytes() for file in run.run_dir.rglob("*") if file.is_file()}
    assert any(name.endswith("run.db") for name in written)
    assert all(told)
    said = [("output", run.output().encode()), ("command line", command_line), ("service", b"".join(told))]
    for name, content in (*written.items(), *said):
        assert KEY.encode() not in content, name
