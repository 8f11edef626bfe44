"""What the config says of probes, and what a run tells of its judge."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from star_agents.cli.judging import judge_lines
from star_agents.core.errors import ConfigError
from star_agents.core.records import ProbeTally, Tally
from star_agents.policy.drift import DriftOptions
from star_agents.service.config import judging
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.identity import differences, record
from star_agents.service.view.judge_status import judge_status, recorded_swap
from star_agents.storage.spending import Account, Spend
from tests.service.configs import SOUND, spoiled

EVENTS = {
    "judge.asked": 30,
    "judge.spared": 70,
    "judge.orders.agreed": 20,
    "judge.orders.first": 4,
    "judge.orders.second": 1,
    "verdict.label.win": 20,
    "verdict.label.loss": 20,
    "verdict.label.tie": 18,
    "verdict.label.unparsed": 2,
    "injection_suspect": 3,
    "injection_suspect.selected": 1,
}
SPEND = {
    Account("gpt", "judge", "keep+good", "judge"): Spend(32, input_tokens=6000, output_tokens=400),
    Account("gpt", "judge", "keep+good", "judge_swapped"): Spend(32, input_tokens=6000, output_tokens=400),
    Account("gpt", "judge", "gold probe", "probe"): Spend(9, input_tokens=90_000),
    Account("gpt", "good", "keep+good", "respond"): Spend(99, input_tokens=90_000),
}


def settings_of(config: dict[str, Any]) -> Settings:
    return check(parse_yaml(yaml.safe_dump(config), "run.yaml"))


def test_what_lazy_judging_saved() -> None:
    """Against judging all: 70 comparisons, both orders of each, at the mean of what judging calls have taken."""
    status = judge_status(Tally((), EVENTS), SPEND, swap=True)
    assert (status.asked, status.spared, status.spared_share) == (30, 70, 0.7)
    assert (status.calls_spared, status.tokens_spared) == (140, 140 * 200)
    assert judge_status(Tally((), EVENTS), {}, swap=False).calls_spared == 70
    assert judge_status(Tally((), EVENTS), {}, swap=False).tokens_spared is None


def test_how_far_the_judge_can_be_trusted() -> None:
    """Unreadable orders of all that were answered, disagreements of all that could be read twice."""
    status = judge_status(Tally((), EVENTS), SPEND, swap=True)
    assert (status.unparsed_rate, status.disagreement_rate) == (2 / 60, 5 / 25)
    assert (status.favoured_first, status.favoured_second) == (4, 1)
    assert (status.suspects, status.suspects_selected) == (3, 1)


def test_before_anything_was_judged_nothing_is_told() -> None:
    """No rate is made up where there is nothing to divide by."""
    status = judge_status(Tally(()), {}, swap=True)
    assert (status.spared_share, status.unparsed_rate, status.disagreement_rate) == (None, None, None)
    assert judge_lines(status) == []


def test_the_lines() -> None:
    """What was saved, how far to trust it, and the alarm while it is on."""
    status = judge_status(Tally((), EVENTS), SPEND, swap=True)
    assert judge_lines(status) == [
        "judge: 30 of 100 comparisons asked, 70.0% saved (140 calls, about 28.0k tokens)",
        (
            "judge: unreadable 3.3%, orders disagree 20.0% (first favoured 4, second 1), "
            "suspect answers 3, 1 of them selected"
        ),
    ]
    probes = ProbeTally(60, 40, 50, 48, (True, False, False), is_alarmed=True, alarms=1)
    probed = judge_lines(replace(status, probes=probes))
    assert probed[1].endswith("probes right 40 of 60 (newest 1 of 3)")
    assert "ALARM" in probed[2]


def test_the_swap_of_a_recorded_config() -> None:
    """A run that is not running is told of by what it was begun with."""
    assert recorded_swap(record(settings_of(SOUND), {}))
    assert not recorded_swap(record(settings_of(spoiled("judge.swap", False)), {}))
    assert recorded_swap(orjson.dumps({}).decode())


def test_without_the_key_there_are_no_probes() -> None:
    """Probes cost calls, so they are asked for."""
    section = settings_of(SOUND).judge
    assert judging.gold_of(section) == ()
    assert judging.probes_of(section, ()) is None
    assert judging.drift_of(section) == DriftOptions()


def test_probes_of_the_builtin_set_and_of_ones_own(tmp_path: Path) -> None:
    """An empty section takes the defaults; a file of one's own is read when the run starts."""
    section = settings_of(spoiled("judge.probes", {})).judge
    probes = judging.probes_of(section, judging.gold_of(section))
    assert probes is not None
    assert (len(probes.gold) >= 30, probes.rate) == (True, 0.01)
    file = tmp_path / "gold.jsonl"
    file.write_text('{"instruction": "q", "better": "g", "worse": "b"}\n')
    own = settings_of(
        spoiled("judge.probes", {"path": str(file), "rate": 0.5, "window": 20, "min_accuracy": 0.9})
    ).judge
    assert [pair.better for pair in judging.gold_of(own)] == ["g"]
    assert judging.drift_of(own) == DriftOptions(window=20, min_accuracy=0.9)
    file.unlink()
    with pytest.raises(ConfigError, match=r"judge\.probes\.path: .*cannot be read"):
        judging.gold_of(own)


@pytest.mark.parametrize(
    ("probes", "said"),
    [
        ({"path": "nowhere.jsonl"}, "judge.probes.path: no such file; give JSON lines, or `builtin`"),
        ({"rate": 0.0}, "judge.probes.rate"),
        ({"window": 5}, "judge.probes.window"),
        ({"rte": 0.1}, "judge.probes.rte: unknown key; did you mean `rate`?"),
    ],
)
def test_what_is_wrong_with_a_section(probes: dict[str, object], said: str) -> None:
    """The path of the key and the mend are named."""
    with pytest.raises(ConfigError) as caught:
        settings_of(spoiled("judge.probes", probes))
    assert said in str(caught.value)


def test_probes_may_change_between_two_starts() -> None:
    """No row depends on them."""
    before, after = (record(settings_of(config), {}) for config in (SOUND, spoiled("judge.probes", {"rate": 0.1})))
    assert differences(before, after) == []
    assert differences(after, before) == []
