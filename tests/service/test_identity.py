import orjson
import pytest
import yaml

from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.identity import differences, fingerprint, record, recorded_settings
from tests.service.configs import SOUND, spoiled


def recorded(config: object, prompts: dict[str, str] | None = None) -> str:
    return record(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), prompts or {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.dir", "elsewhere"),
        ("endpoints.local.base_url", "http://127.0.0.1:2/v1"),
        ("endpoints.local.concurrency", 3),
        ("endpoints.local.price", {"input": 1.0, "output": 2.0}),
        ("service.port", 0),
        ("output.candidates", True),
        ("sampling.max_in_flight", 5),
    ],
)
def test_places_and_limits_may_change(path: str, value: object) -> None:
    """What no row depends on is not identity."""
    before, after = recorded(SOUND), recorded(spoiled(path, value))
    assert fingerprint(before) == fingerprint(after)
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.seed", 4),
        ("endpoints.local.model", "other"),
        ("agents.response.wild.temperature", 0.9),
        ("pairs.pool", [["keep", "wild"], ["deepen", "wild"]]),
        ("scoring.small", "other"),
        ("evolution.rate", 0.1),
    ],
)
def test_what_rows_depend_on_may_not_change(path: str, value: object) -> None:
    """Another model, agent, pool, scorer or rate is another run, and the field is named."""
    before, after = recorded(SOUND), recorded(spoiled(path, value))
    assert fingerprint(before) != fingerprint(after)
    assert any(line.startswith(path) for line in differences(before, after))


def test_an_edited_template_is_another_agent() -> None:
    """A prompt file's text is part of the identity."""
    before, after = recorded(SOUND, {"mine.jinja": "a"}), recorded(SOUND, {"mine.jinja": "b"})
    assert fingerprint(before) != fingerprint(after)
    assert [line.split(":")[0] for line in differences(before, after)] == ["prompt_files.mine.jinja"]


def test_headers_are_not_recorded() -> None:
    """A header may carry a key, so no value of one reaches the run folder."""
    assert "canary" not in recorded(spoiled("endpoints.local.headers", {"Authorization": "Bearer canary"}))


def test_a_key_of_a_later_version_counts_with_its_default() -> None:
    """A run that was begun before a key existed is gone on with, unless the key is set to something else."""
    told = orjson.loads(recorded(SOUND))
    for endpoint in told["endpoints"].values():
        del endpoint["retry_truncated"]
    del told["selection"]
    before = orjson.dumps(told).decode()
    assert differences(before, recorded(SOUND)) == []
    assert differences(before, recorded(spoiled("endpoints.local.retry_truncated", False))) == [
        "endpoints.local.retry_truncated: was true, is false"
    ]


def test_a_config_that_todays_version_cannot_read_is_compared_as_it_stands() -> None:
    """A key that is no more is named."""
    told = orjson.loads(recorded(SOUND)) | {"gone": {"key": 1}}
    assert differences(orjson.dumps(told).decode(), recorded(SOUND)) == ["gone.key: was 1, is not set"]


def test_a_key_that_is_newer_than_the_run_counts_as_it_was_done_then() -> None:
    """A run of before `evolution.faults` filled nothing; it goes on under a config that says so, and no other way."""
    older = orjson.loads(recorded(SOUND))
    del older["evolution"]["faults"]
    before = orjson.dumps(older).decode()
    assert recorded_settings(before).evolution.faults == "nothing"
    assert differences(before, recorded(spoiled("evolution", {"faults": "nothing"}))) == []
    assert differences(before, recorded(SOUND)) == ['evolution.faults: was "nothing", is "usual"']
