"""From an endpoint's section of the config to what the fleet is told of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.spec import EndpointSpec
from star_agents.service.config import wiring
from star_agents.service.config.secret_refs import resolve_secrets
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from tests.service.configs import spoiled

REMOTE = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "tiny"}
ENVIRON = {"KEY": "canary-key", "AUTH": "me:canary"}


def told(**section: Any) -> EndpointSpec:  # noqa: ANN401  # any value of a config
    """What becomes of an endpoint with this section."""
    settings = check(parse_yaml(yaml.safe_dump(spoiled("endpoints.local", section)), "run.yaml"))
    secrets = resolve_secrets(settings, ENVIRON)
    return wiring.endpoint_spec("local", settings.endpoints["local"], secrets["local"], None)


def test_an_endpoint_of_anthropics_own() -> None:
    """Without a URL it is where Anthropic serves; its key goes in their header, and no seed is spoken of."""
    spec = told(kind="anthropic", model="claude", api_key="${KEY}")
    assert spec.base_urls == ("https://api.anthropic.com/v1",)
    assert format_of(spec).path == "/messages"
    assert format_of(spec).headers(spec)["x-api-key"] == "canary-key"
    near = told(
        kind="anthropic", model="m", base_url="http://127.0.0.1:2/v1", api_key="${KEY}", key_header="Authorization"
    )
    assert near.base_urls == ("http://127.0.0.1:2/v1",)
    assert format_of(near).headers(near)["Authorization"] == "Bearer canary-key"


def test_everything_about_the_wire_gets_there(tmp_path: Path) -> None:
    """Each key of the config that is about the wire reaches the spec."""
    file = tmp_path / "ca.pem"
    file.write_text("")
    spec = told(
        **REMOTE,
        api="completions",
        stream=True,
        stream_end="done",
        choices="json_schema",
        max_tokens_field="max_completion_tokens",
        timeouts={"idle_s": 7.0},
        headers={"X-Org": "${KEY}", "X-Team": "blue"},
        proxy="http://proxy:3128",
        proxy_auth="${AUTH}",
        ca_file=str(file),
        idempotency_key=True,
    )
    assert (spec.api, spec.stream, spec.stream_end, spec.choices) == ("completions", True, "done", "json_schema")
    assert (spec.max_tokens_field, spec.timeouts.idle_s, spec.idempotency_key) == ("max_completion_tokens", 7.0, True)
    assert (spec.proxy, spec.ca_file) == ("http://proxy:3128", str(file))
    assert spec.proxy_auth is not None
    assert spec.proxy_auth.reveal() == "me:canary"
    assert spec.masked("canary-key, me:canary, blue") == "***, ***, blue"
    assert "canary" not in repr(spec)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "anthropic", "model": "m", "api": "chat"}, "endpoints.local"),
        ({"kind": "anthropic", "model": "m", "send_seed": True}, "endpoints.local"),
        ({**REMOTE, "proxy": "http://me:secret@proxy:3128"}, "endpoints.local"),
        ({**REMOTE, "proxy_auth": "me:secret"}, "endpoints.local"),
        ({**REMOTE, "proxy_auth": "${AUTH}"}, "there is no proxy"),
        ({**REMOTE, "ca_file": "/no/such/file"}, "no such file"),
        ({**REMOTE, "choices": "regex"}, "endpoints.local"),
        ({**REMOTE, "key_header": "X: y"}, "endpoints.local"),
        ({"kind": "openai", "model": "m"}, "either base_url or base_urls"),
        (
            {"kind": "anthropic", "model": "m", "base_url": "http://a/v1", "base_urls": ["http://b/v1"]},
            "either base_url",
        ),
    ],
)
def test_what_makes_no_sense_is_said(change: dict[str, Any], problem: str) -> None:
    """With the path of the key, and without any value that could be a secret."""
    with pytest.raises(ConfigError) as caught:
        told(**change)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value).replace("secret_", "")


def test_a_judge_that_chooses_is_another_agent() -> None:
    """Its template is another, so its version is; the margin reaches the prompts."""
    versions = set()
    for verdict in ("text", "choice"):
        settings = check(parse_yaml(yaml.safe_dump(spoiled("judge.verdict", verdict)), "run.yaml"))
        versions.add(wiring.judge_of(settings, {}).version)
        assert (wiring.prompts_of(settings.judge, {})._tie_margin is None) == (verdict == "text")
    assert len(versions) == 2
