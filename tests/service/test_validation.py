from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair
from star_agents.service.config.validation import check, load_settings
from star_agents.service.config.wiring import pool_of
from star_agents.service.config.yaml_source import parse_yaml
from tests.service.configs import SOUND, spoiled

CONFIGS = Path(__file__).parents[2] / "configs"


def problems(config: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        check(parse_yaml(yaml.safe_dump(config), "run.yaml"))
    return caught.value.problems


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_shipped_configs_are_sound(file: Path) -> None:
    """Every file of configs/ loads."""
    assert load_settings(file).run.name


def test_the_paper_has_ten_pairs() -> None:
    """paper.yaml draws from ten pairs, with replacement, without a floor, as its tables say."""
    settings = load_settings(CONFIGS / "paper.yaml")
    assert len(pool_of(settings.pairs, settings.agents)) == 10
    assert settings.sampling.replacement
    assert settings.evolution.floor == 0


def test_the_pool_is_every_combination_but_the_base() -> None:
    """`pool: all` combines `keep` and the instruction agents with the response agents."""
    settings = check(parse_yaml(yaml.safe_dump(SOUND), "run.yaml"))
    assert pool_of(settings.pairs, settings.agents) == (
        AgentPair("keep", "wild"),
        AgentPair("deepen", "calm"),
        AgentPair("deepen", "wild"),
    )


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("run.sed", 3, "run.sed: unknown key; did you mean `seed`?"),
        ("run.seed", "3", "run.seed: should be a valid integer"),
        ("run.name", ..., "run.name: missing"),
        ("seeds.path", ..., "seeds.path: missing"),
        ("seeds.path", None, "seeds.path: no seeds: name a file, or one to follow, or set service.keep_alive"),
        ("seeds", {"path": None, "follow": "incoming"}, "evolution.rate: auto follows from the number of seeds"),
        ("service.port", 70000, "service.port: should be less than or equal to 65535"),
        ("run.name", "../up", "run.name: should match"),
        ("judg", {}, "judg: unknown key; did you mean `judge`?"),
        ("scoring", ..., "scoring: missing"),
        ("agents.response.calm.endpoint", "locl", "no such endpoint; did you mean `local`?"),
        ("agents.response.calm.prompt", "answr", "no such prompt, and no such template file; did you mean `answer`?"),
        ("agents.instruction.keep", {"endpoint": "local", "prompt": "deepen"}, "`keep` is built in"),
        ("agents.response.calm.temperature", 9.0, "temperature: should be less than or equal to 2"),
        ("agents.response", {}, "agents.response: "),
        ("judge.endpoint", "nobody", "judge.endpoint: no such endpoint; there are: local"),
        ("pairs.base", [["keep", "clam"]], "pairs.base[0][1]: no such response agent; did you mean `calm`?"),
        ("pairs.base", [], "pairs.base: "),
        ("pairs.pool", [["keep", "calm"], ["keep", "wild"], ["deepen", "wild"]], "pairs.pool[0]: is a base pair"),
        ("pairs.pool", [["keep", "wild"], ["keep", "wild"], ["deepen", "wild"]], "pairs.pool[1]: given twice"),
        ("pairs.pool", [], "pairs.pool: the pool is empty"),
        ("sampling.pairs_per_seed", 4, "4 without replacement from a pool of 3"),
        ("sampling.from_memory", 3, "sampling.from_memory: more than pairs_per_seed (2)"),
        ("memory.embedder", None, "memory.embedder is null"),
        ("evolution.floor", 0.4, "evolution.floor: 3 pairs at 0.4 each leave nothing to learn"),
        ("evolution.rate", "fast", "should be 'auto', or should be a valid number"),
        ("endpoints.local.api_key", "sk-not-a-reference", "name the secret instead of writing it"),
        ("endpoints.local.base_url", "http://user:pw@host/v1", "without credentials"),
        ("endpoints.local.base_urls", ["http://127.0.0.1:2/v1"], "give either base_url or base_urls"),
        ("endpoints.local.kind", "opnai", "unknown `kind`; say openai, anthropic or local"),
        ("endpoints.local.kind", ..., "`kind` is missing"),
        ("endpoints.local.prise", {}, "endpoints.local.prise: unknown key; did you mean `price`?"),
        ("budget.usd", 3.0, "endpoints.local: a dollar budget needs a price"),
        ("service.host", "0.0.0.0", "loopback"),  # noqa: S104  # it must be refused
    ],
)
def test_each_mistake_is_named_with_its_place_and_mend(path: str, value: object, expected: str) -> None:
    """One mistake gives one line: file, line, dotted path, and what to do."""
    (problem,) = problems(spoiled(path, value))
    assert problem.startswith("run.yaml:")
    assert expected in problem


@pytest.mark.parametrize("price", [None, {"input": 0.1, "output": 0.2, "cached_input": 0.01}])
def test_a_server_of_ours_may_do_without_a_price(price: object) -> None:
    """Our own GPUs send no bill; a price may be given all the same."""
    config = spoiled("budget.usd", 3.0)
    config["endpoints"]["local"]["price"] = {"input": 1.0, "output": 2.0}
    config["endpoints"]["own"] = {"kind": "local", "model": "tiny", "price": price}
    assert check(parse_yaml(yaml.safe_dump(config), "run.yaml")).budget.usd == 3.0


def test_all_problems_come_at_once() -> None:
    """A typo in one section hides no contradiction in the others."""
    config = spoiled("run.sed", 1) | {"judge": {"endpoint": "nobody"}, "pairs": {"base": [["keep", "clam"]]}}
    assert len(problems(config)) == 3


def test_lines_point_at_the_key() -> None:
    """The line named is that of the wrong key, not of its section."""
    text = yaml.safe_dump(SOUND).replace("seed: 3", "sead: 3")
    with pytest.raises(ConfigError) as caught:
        check(parse_yaml(text, "run.yaml"))
    line = int(caught.value.problems[0].split(":")[1])
    assert "sead" in text.splitlines()[line - 1]


def test_a_key_in_the_config_is_never_echoed() -> None:
    """What might be a secret does not come back in the message."""
    config = spoiled("endpoints.local.api_key", "sk-canary-12345")
    assert "canary" not in "\n".join(problems(config))


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]" for before, after in zip("abcd", "bcde", strict=True)]
)
NO_CONFIGS = {
    "empty": ("", "not a config"),
    "list": ("- a\n- b\n", "not a config"),
    "broken": ("run: {name: x\n", "not valid YAML"),
    "twice": ("run: 1\nrun: 2\n", "run: given twice (first on line 1)"),
    "tag": ("run: !!python/object:os.system x\n", "not valid YAML"),
    "bomb": (BOMB, "more than 50000 values"),
}


@pytest.mark.parametrize(("text", "expected"), NO_CONFIGS.values(), ids=NO_CONFIGS)
def test_what_is_no_config_is_refused_in_one_line(text: str, expected: str) -> None:
    """Broken, hostile or empty YAML is a line, not a traceback."""
    with pytest.raises(ConfigError, match=r"run\.yaml") as caught:
        check(parse_yaml(text, "run.yaml"))
    assert expected in caught.value.problems[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), (b"\xff\xfe\x00binary", "not a text file"), (b"x" * 1_000_001, "too large")],
    ids=["missing", "binary", "huge"],
)
def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None, expected: str) -> None:
    """A missing, binary or huge file is a line, not a traceback."""
    file = tmp_path / "run.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        load_settings(file)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
PATHS = sorted(
    {
        *SOUND,
        *(f"{section}.{key}" for section, keys in SOUND.items() for key in keys),
        *(f"endpoints.local.{key}" for key in SOUND["endpoints"]["local"]),
        *(f"agents.response.calm.{key}" for key in SOUND["agents"]["response"]["calm"]),
    }
)


@given(path=st.sampled_from(PATHS), value=PLAIN)
def test_no_value_anywhere_breaks_the_check(path: str, value: object) -> None:
    """Whatever stands wherever, the answer is settings or a list of problems that name the file."""
    found: tuple[str, ...] = ()
    try:
        settings = check(parse_yaml(yaml.safe_dump(spoiled(path, value)), "run.yaml"))
    except ConfigError as error:
        found, settings = error.problems, None
    assert (settings is None) == bool(found)
    assert all(problem.startswith("run.yaml") for problem in found)
