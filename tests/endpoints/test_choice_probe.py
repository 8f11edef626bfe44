"""Finding out how a server is held to a choice, against servers that understand one thing each, and none."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from star_agents.endpoints import choice_probe
from star_agents.endpoints.choice_probe import settled
from star_agents.endpoints.spec import Choices, EndpointSpec
from tests.endpoints.conftest import Run
from tests.endpoints.rawserver import Answer, Line, listening
from tests.endpoints.streams import ANTHROPIC, SPEC

CHAT = replace(SPEC, stream=False)
Says = Callable[[Mapping[str, Any]], tuple[str, str]]
"""From a request's body to the status and the text of the reply."""


def server(says: Says) -> Answer:
    async def answer(line: Line) -> None:
        body = json.loads(line.asked.body)
        status, text = says(body)
        if status != "200 OK":
            await line.reply(b'{"error": {"message": "no such field"}}', status)
            return
        choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": "stop"}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": []}]}
        await line.reply(json.dumps({"choices": [choice]}).encode())

    return answer


def strict(field: str, text: str) -> Says:
    """A server that refuses every field of ours but one."""
    ours = {"structured_outputs", "guided_choice", "response_format"} - {field}
    return lambda body: ("400 No", "") if ours & body.keys() else ("200 OK", text if field in body else "Hello!")


def ignorant(_: Mapping[str, Any]) -> tuple[str, str]:
    """A server that passes over what it does not know."""
    return "200 OK", "Hello!"


def lettered(body: Mapping[str, Any]) -> tuple[str, str]:
    """One that knows log probabilities, and answers questions."""
    return "200 OK", "A" if "letter" in body["messages"][0]["content"] else "Hello!"


@pytest.mark.parametrize(
    ("says", "way"),
    [
        (strict("structured_outputs", "zebra"), "structured_outputs"),
        (strict("response_format", '{"choice": "quartz"}'), "json_schema"),
        (strict("guided_choice", "quartz"), "guided_choice"),
        (lettered, "logprobs"),
        (ignorant, "none"),
        (lambda _: ("500 Oh", ""), "none"),
        (lambda _: ("401 Who", ""), "none"),
    ],
)
def test_what_a_server_understands(
    run: Run, says: Says, way: Choices, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that is passed over is not understood; and what came of it is one line of the log."""
    monkeypatch.setattr(choice_probe, "WAITS_S", (0.01,))

    async def main() -> None:
        async with listening(server(says)) as raw:
            assert await settled(replace(CHAT, base_urls=(raw.url,))) == replace(
                CHAT, base_urls=(raw.url,), choices=way
            )

    with caplog.at_level(logging.INFO):
        run(main())
    (record,) = [record for record in caplog.records if record.name == choice_probe.__name__]
    assert record.levelno == (logging.WARNING if way == "none" else logging.INFO)
    assert ("read from its text" in record.getMessage()) == (way == "none")


@pytest.mark.parametrize(("spec", "way"), [(replace(CHAT, choices="json_schema"), "json_schema"), (ANTHROPIC, "none")])
def test_who_is_not_asked(run: Run, spec: EndpointSpec, way: Choices) -> None:
    """Where the config says it, or the API has no such thing."""

    async def main() -> None:
        async with listening(server(ignorant)) as raw:
            assert (await settled(replace(spec, base_urls=(raw.url,)))).choices == way
            assert raw.asked == []

    run(main())


def test_a_server_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again for a moment, not once for each way; the preflight will say the rest."""
    monkeypatch.setattr(choice_probe, "WAITS_S", (0.01,))

    async def main() -> None:
        assert (await settled(replace(CHAT, base_urls=("http://127.0.0.1:9/v1",)))).choices == "none"

    run(main())
