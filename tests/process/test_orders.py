"""A service is killed between an order and its effect, or between effect and outcome: what the next start says."""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from star_agents.client.connection import address_of
from star_agents.core.errors import ServiceGoneError
from star_agents.storage.failpoints import VARIABLE
from tests.process.harness import PATIENCE_S, Run, mock_endpoint, tiny_models
from tests.process.test_service import get, rows_of, told, until

pytestmark = [pytest.mark.fault("F-89", "F-64"), pytest.mark.timeout(300)]

NOTED, OBEYED = "command.noted", "command.obeyed"
JSON, LINES = "application/json", "application/jsonl"

ORDERS: dict[str, tuple[str, bytes, str]] = {
    "pause": ("/api/v1/pause", b"", JSON),
    "seeds": ("/api/v1/seeds", rows_of("fed a", "fed b"), LINES),
    "agents": ("/api/v1/agents", b'{"retire": ["RETIRED"], "reason": "too slow"}', JSON),
}


def order(run: Run, verb: str, key: str, retired: str) -> Any:  # noqa: ANN401  # plain data
    """Give an order under a key; None where the service dies of it."""
    path, body, kind = ORDERS[verb]
    address = address_of(run.run_dir)
    assert address.port is not None
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {address.token}", "Idempotency-Key": key, "Content-Type": kind}
    try:
        connection.request("POST", path, body.replace(b"RETIRED", retired.encode()) or None, headers)
        reply = connection.getresponse()
        content = reply.read()
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    assert reply.status == 200, content
    return json.loads(content)


def commands(run: Run) -> list[tuple[str, str]]:
    return [(one["verb"], one["outcome"]) for one in get(run, "/api/v1/commands")["commands"]]


def effect(run: Run, verb: str) -> object:
    """What an order of this kind changes."""
    now = get(run, "/api/v1/status")
    return {"pause": now["phase"], "seeds": now["seeds_fed"], "agents": len(now["changes"])}[verb]


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([(NOTED, "seeds"), (OBEYED, "agents")], id="two"),
        pytest.param(
            [(OBEYED, "seeds"), (NOTED, "agents"), (OBEYED, "pause")],
            id="the others",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_f89_an_order_that_a_kill_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: list[tuple[str, str]]
) -> None:
    """F-89, F-64: on record, and done or void as it was or was not; under the same key it is done once, all told."""
    changes: dict[str, dict[str, Any]] = {"seeds": {"limit": 2}, "service": {"keep_alive": True, "port": 0}}
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), changes)
        expected: list[tuple[str, str]] = []
        for number, (point, verb) in enumerate(cases):
            monkeypatch.setenv(VARIABLE, f"{point}:1")
            process = run.start()
            until(run, process, lambda now: now["phase"] == "running" and now["seeds_done"] >= 2, "the run")
            before = effect(run, verb)
            retired = next(iter(get(run, "/api/v1/agents")["pool"]))
            assert order(run, verb, f"key-{number}", retired) is None
            assert process.wait(PATIENCE_S) == -9, run.output()
            assert verb in told("status", str(run.run_dir))

            monkeypatch.delenv(VARIABLE)
            process = run.start()
            until(run, process, lambda now: now["phase"] == "running", "the next start")
            is_durable = point == OBEYED and verb != "pause"  # a pause is of its process
            expected.append((verb, "done" if is_durable else "void"))
            assert commands(run) == expected
            assert (effect(run, verb) == before) is not is_durable
            answer = order(run, verb, f"key-{number}", retired)
            assert answer
            after = effect(run, verb)
            assert after != before
            assert order(run, verb, f"key-{number}", retired) == answer
            assert effect(run, verb) == after
            expected += [] if is_durable else [(verb, "done")]
            assert commands(run) == expected
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, run.output()
            expected.append(("drain", "done"))
        assert "by signal:SIGTERM: done" in told("status", str(run.run_dir))
        with pytest.raises(ServiceGoneError):
            get(run, "/api/v1/commands")
