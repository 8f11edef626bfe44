"""When faults happen: the same run meets the same ones, and a script file says clearly what it does not understand."""

import re
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError
from star_agents.mock.answers import fingerprint
from star_agents.mock.catalogue import CATALOGUE, KINDS, MENDABLE, faults_named, listing
from star_agents.mock.conduct import CapacityStep, Outage
from star_agents.mock.faults import Fault
from star_agents.mock.script import Chance, Rule, Rules, Seen
from star_agents.mock.script_file import read_scenario, rule_of
from tests.mock.wire import chat

SLOW = CATALOGUE["slow"]
NAN = CATALOGUE["nan"]


def seen(number: int = 0, times: int = 0, at_s: float = 0.0) -> Seen:
    return Seen(number, fingerprint(chat(number)), times, chat(number), at_s)


@pytest.mark.parametrize("script", [Chance(0.3, seed=4), rule_of("mendable:0.3", seed=4)])
def test_chance_goes_by_the_request_and_how_often_it_came(script: Chance | Rule) -> None:
    """So that two runs meet the same faults in whatever order they ask; each of the names is drawn."""
    requests = [seen(number, times) for number in range(300) for times in (0, 1)]
    faults = {(each.fingerprint, each.times): script(each) for each in requests}
    assert all(script(each) is faults[each.fingerprint, each.times] for each in reversed(requests))
    hit = [fault.name for fault in faults.values() if fault is not None]
    assert 0.2 < len(hit) / len(faults) < 0.4
    assert set(hit) == set(MENDABLE)


@pytest.mark.parametrize(
    ("rule", "meant", "others"),
    [
        (Rule(faults=(SLOW,), numbers=frozenset((1, 3))), [seen(1), seen(3)], [seen(0), seen(2)]),
        (Rule(faults=(SLOW,), from_number=2, until_number=4), [seen(2), seen(3)], [seen(1), seen(4)]),
        (Rule(faults=(SLOW,), max_times=1), [seen(1)], [seen(1, times=1)]),
        (Rule(faults=(SLOW,), content=re.compile("Say 7")), [seen(7)], [seen(8)]),
        (Rule(faults=(SLOW,), from_s=2, until_s=4), [seen(at_s=2)], [seen(at_s=1.9), seen(at_s=4)]),
        (Rule(faults=(SLOW,), until_s=3, period_s=6), [seen(at_s=0), seen(at_s=8)], [seen(at_s=3), seen(at_s=11)]),
    ],
)
def test_conditions(rule: Rule, meant: list[Seen], others: list[Seen]) -> None:
    """By number, by how often it came, by content, by time, by time again and again."""
    assert all(rule(each) is SLOW for each in meant)
    assert not any(rule(each) for each in others)


def test_the_first_rule_that_hits_decides() -> None:
    """The others are not asked."""
    rules = Rules((Rule(faults=(SLOW,), numbers=frozenset((1,))), Rule(faults=(NAN,))))
    assert [rules(seen(number)) for number in (0, 1)] == [NAN, SLOW]


def test_every_fault_has_its_name_and_a_line_in_the_table() -> None:
    """The command line asks for them by it, with and without an argument."""
    assert all(fault.name == name for name, fault in CATALOGUE.items())
    assert all(KINDS[name].made(KINDS[name].default).name == name for name in KINDS)
    assert all(re.fullmatch(r"F-\d\d( F-\d\d)*", kind.rows) for kind in KINDS.values())
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines] == [*KINDS, "mendable"]


def test_rows_that_a_server_can_make_are_in_the_table() -> None:
    """All of connections, statuses and content but those that the catalogue's head names."""
    rows = {row for kind in KINDS.values() for row in kind.rows.split()}
    not_by_fault = {"F-02", "F-03", "F-08", "F-09", "F-15", "F-19", "F-26", "F-27", "F-31", "F-32"}
    assert rows == {f"F-{number:02}" for number in range(1, 46)} - not_by_fault


@pytest.mark.parametrize(
    ("text", "fault", "rate"),
    [
        ("slow", SLOW, 1.0),
        ("slow:0.25", SLOW, 0.25),
        ("reset_mid_body:0.5:77", Fault(name="reset_mid_body", cut_after=77, resets=True), 0.5),
    ],
)
def test_faults_of_a_command_line(text: str, fault: Fault, rate: float) -> None:
    """Name, rate, argument."""
    rule = rule_of(text, 0)
    assert (rule.faults, rule.rate) == ((fault,), rate)


@pytest.mark.parametrize(
    "text", ["sloow", "slow:2", "slow:often", "slow:1:fast", "error_inside:1:nobody", "mendable:1:x"]
)
def test_a_fault_that_is_not_understood(text: str) -> None:
    """What was written is in the message, and what to write instead."""
    with pytest.raises(ConfigError, match=re.escape(f"--fault {text}: ")):
        rule_of(text, 0)


def test_a_script_file(tmp_path: Path) -> None:
    """Everything a rule can say, capacity and outages."""
    file = tmp_path / "script.yaml"
    file.write_text(
        """
        faults:
          - {fault: http_429, argument: "5", from_s: 10, until_s: 13, period_s: 60}
          - {fault: http_400, content: "poi.on", max_times: 1}
          - {fault: cut_short, argument: 9, numbers: [0, 7], rate: 0.5}
        capacity: [{at_s: 30, factor: 0.1}]
        outages: [{from_s: 60, until_s: 90}]
        """
    )
    read = read_scenario(file, 3)
    limited, poison, short = read.rules
    assert (limited.from_s, limited.until_s, limited.period_s) == (10, 13, 60)
    assert limited.faults[0].headers == {"retry-after": "5"}
    assert poison.content == re.compile("poi.on")
    assert (short.numbers, short.rate, short.seed) == (frozenset((0, 7)), 0.5, 3)
    assert (read.capacity, read.outages) == ((CapacityStep(30, 0.1),), (Outage(60, 90),))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("faults: [{fault: nobody}]", "faults.0: no fault is called 'nobody'"),
        ("faults: [{fault: slow, rate: 2}]", "faults.0.rate: "),
        ("faults: [{fault: slow, wrong: 2}]", "faults.0.wrong: "),
        ("faults: [{fault: slow, content: '('}]", "faults.0: "),
        ("capacity: [{at_s: 1, factor: 0}]", "capacity.0.factor: "),
        ("[", "no YAML"),
        ("1", "the file: "),
    ],
)
def test_a_script_file_that_is_not_understood(text: str, problem: str, tmp_path: Path) -> None:
    """The file, the place in it and what is wrong there."""
    file = tmp_path / "script.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_scenario(file, 0)
    assert any(each.startswith(f"{file}: {problem}") for each in caught.value.problems), caught.value.problems


def test_a_script_file_that_is_not_there(tmp_path: Path) -> None:
    """Said with its name."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_scenario(tmp_path / "none.yaml", 0)


def test_groups_and_single_faults_by_name() -> None:
    """`mendable` is several."""
    assert [fault.name for fault in faults_named("mendable")] == list(MENDABLE)
    assert faults_named("slow") == (SLOW,)
