"""The service of a real run, asked what its OpenAPI file allows and much that it does not: never a 5xx."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from star_agents.client.connection import address_of
from star_agents.service.run.address import Address
from tests.process.harness import Run, mock_endpoint, tiny_models
from tests.process.test_service import until
from tests.service.answers import closed

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

ENDLESS, LAST = "/api/v1/events", "/api/v1/drain"

EXAMPLES = 15
"""For each operation, of each sort: as the file has it, and as it has it not."""


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def as_lines(_: object, value: object) -> bytes:
    """Rows as they may come: any text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def ask_everything(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, address: Address) -> None:
    """Ask one operation this and that."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Case[Any]) -> None:
        if isinstance(case.query, dict):
            case.query = {name: value for name, value in case.query.items() if name != "follow"}
        case.call_and_validate(address.url(""), headers={"Authorization": f"Bearer {address.token}"}, checks=CHECKS)

    ask()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.fault("F-85")
@pytest.mark.filterwarnings("ignore")  # of the libraries that schemathesis stands on
def test_the_service_keeps_its_schema(tmp_path: Path) -> None:
    """Codes, types and documents are as described and hold nothing else, whatever is asked; the run goes on."""
    document = closed()
    del document["paths"][ENDLESS], document["paths"][LAST]
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(
            tmp_path,
            endpoint,
            tiny_models(tmp_path),
            {"seeds": {"limit": 3}, "service": {"keep_alive": True, "port": 0}},
        )
        process = run.start()
        until(run, process, lambda now: now["seeds_done"] == 3, "the seeds of the file")
        schema = schemathesis.openapi.from_dict(document)
        asked = 0
        for result in schema.get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                assert isinstance(result, Ok)
                operation = result.ok()
                if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                    continue  # there is nothing about it that could be wrong
                ask_everything(operation, mode, address_of(run.run_dir))
                asked += 1
        assert asked >= len(document["paths"])
        assert process.poll() is None, run.output()
        process.terminate()
        assert process.wait(60) == 0, run.output()
    assert "Traceback" not in run.output()
