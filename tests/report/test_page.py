"""The report of a run: whole, honest about what is missing, and harmless whatever models wrote."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from star_agents.core.errors import StoreError
from star_agents.core.records import AgentPair
from star_agents.report import sample
from star_agents.report.facts import Facts, read_facts
from star_agents.report.page import contents, html_page, markdown, write_report
from star_agents.storage.commands import Order, Outcome, Verb
from star_agents.storage.folder import RunFolder
from star_agents.storage.manifest import Manifest
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.report.world import MANIFEST, World, make
from tests.storage.contests import Answer, contest, write_run

EVIL = (
    "</p></svg></style><script>alert(1)</script><img src=x onerror=alert(2)> ]]> --> {{ 7 * 7 }} $\\frac{x}{y$ "
    "\x00\x1b[31m\u202etxt.exe\r\n# | `tick` **bold** [a](http://evil.example) ![b](http://evil.example/x.png) "
    "\ud83d &lt;b&gt;"
)
VOID = {"meta", "br", "img", "link", "input"}


class Seen(HTMLParser):
    """What a browser would find in a page, as far as it could do harm."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.references: set[str] = set()
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.attributes[name] += 1
            if name == "id":
                self.ids[value or ""] += 1
            if name in {"src", "href", "xlink:href", "action", "data", "srcset", "poster"}:
                self.references.add(value or "")


def facts_of(run: RunFolder) -> Facts:
    return read_facts(run, lambda _: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make(tmp_path_factory.mktemp("world") / "run", World(num_seeds=160))


@pytest.fixture(scope="module")
def text(run: RunFolder) -> str:
    return html_page(contents(facts_of(run)))


def check_harmless(text: str) -> Seen:
    """Nothing that runs, nothing that is fetched, every element closed where it belongs."""
    seen = Seen(text)
    assert not seen.tags.keys() & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
    }
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert all(reference.startswith("#") for reference in seen.references)
    assert not re.search(r"@import|url\((?!#)", text)
    assert not seen.unbalanced
    assert not seen.open
    assert not [name for name, count in seen.ids.items() if count > 1]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
    return seen


def test_a_page_needs_nothing_but_itself(text: str) -> None:
    """No script, no reference to the outside, and a policy that forbids both."""
    seen = check_harmless(text)
    assert seen.tags["svg"] == 5
    assert "default-src 'none'" in text


def test_every_part_is_there(text: str) -> None:
    """With the numbers of the run."""
    for told in ("Weights over time", "Who wins", "By kind of task", "Scores", "Before and after", "Cost", "Faults met",
                 "The judge", "To do it again", "All 160 finished seeds", "no answer in 600 s", "torch", "5e1d5e1d",
                 "the longer answer won", "the two orders disagreed", "concretise+gpt-4o-mini"):  # fmt: skip
        assert told in text, told
    assert "has not ended" not in text


def test_secrets_are_not_told(text: str) -> None:
    """Not those of a URL either; the name of a secret is none."""
    assert "hunter" not in text
    assert "${OPENAI_API_KEY}" in text


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    """In questions, answers, messages of servers, and in both files."""
    told = contents(facts_of(make(tmp_path, World(num_seeds=80, spice=EVIL))))
    seen = check_harmless(html_page(told))
    assert "<script>alert(1)</script>" in " ".join(seen.words)
    assert "{{ 7 * 7 }}" in " ".join(seen.words)
    check_plain_markdown(markdown(told))


def test_hostile_names_are_texts(tmp_path: Path) -> None:
    """Names of agents are in pictures, too: no formula, no markup, no endless label."""
    folder = RunFolder(tmp_path)
    pairs = (AgentPair(EVIL[:60] * 9, "b"), AgentPair("$x^$", "c|d"), AgentPair("<b>", "`"))
    config = '{"run": {"name": "<script>alert(3)</script>"}, "agents": {"response": {"<i>": {"endpoint": "<u>"}}}}'
    manifest = Manifest(config=config, fingerprint="<b>", input_sha256="&", pairs=pairs, created="<i>2026</i>")
    answers = [
        Answer(text="base", pi=0.1),
        *(Answer(text="x", pi=0.5, agents=(p.instruction, p.response)) for p in pairs),
    ]
    run_real(write_run(folder.database, [contest(n, answers, winner=1) for n in range(9)], manifest=manifest))
    told = contents(facts_of(folder))
    seen = check_harmless(html_page(told))
    assert "$x^$" in " ".join(seen.words)
    assert "<script>alert(3)</script>" in seen.words
    check_plain_markdown(markdown(told))


def check_plain_markdown(text: str) -> None:
    """No raw HTML, no link, no picture, and no line that the data began."""
    assert not re.search(r"(?<!\\)<|(?<!\\)!\[|(?<!\\)\]\(", text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    heads = {"| |": 2, "| pair": 6, "| a question": 3, "| endpoint | calls": 7, "| endpoint | reason": 4, "| order": 5}
    width = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or next(columns for head, columns in heads.items() if line.startswith(head))
        assert len(re.findall(r"(?<!\\)\|", line)) == width + 1, line
    assert tables


def test_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    """What has finished is told, and that there is more; the run is not disturbed."""
    run = make(tmp_path, World(num_seeds=40), ended=None)
    told = contents(facts_of(run))
    for text in (html_page(told), markdown(told)):
        assert "This run has not ended" in text
        assert "40 seeds that have finished" in text


@pytest.mark.parametrize("ended", ["limit reached", "stopped on request", "budget reached"])
def test_an_end_before_the_end_is_told(tmp_path: Path, ended: str) -> None:
    """Each in its own words."""
    run = make(tmp_path, World(num_seeds=4, batch_size=2), ended=ended)
    assert "can go on" in html_page(contents(facts_of(run)))


@pytest.mark.parametrize("num_seeds", [0, 1, 2, 30])
def test_a_run_with_little_in_it_has_a_report(tmp_path: Path, num_seeds: int) -> None:
    """None, one, a few: what is not there is said, and nothing is divided by it."""
    run = make(tmp_path, World(num_seeds=num_seeds, batch_size=7))
    told = contents(facts_of(run))
    check_harmless(html_page(told))
    check_plain_markdown(markdown(told))
    if not num_seeds:
        assert "no batch has been learnt from" in html_page(told)
        assert "no seed has finished" in html_page(told)
        assert "No call was made" in html_page(told)


def test_a_run_is_read_while_it_is_written(tmp_path: Path) -> None:
    """Through a connection that cannot write; open seeds are counted."""
    run = make(tmp_path, World(num_seeds=20), ended=None)

    async def main() -> Facts:
        import asyncio

        from tests.storage.examples import plan

        async with await RunStore.open(run.database, MANIFEST) as store:
            await store.assign(plan(1000))
            return await asyncio.to_thread(facts_of, run)

    facts = run_real(main())
    assert (facts.standing.finished, facts.standing.in_flight) == (20, 1)


def test_a_large_run_is_sampled_and_says_so(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are of all seeds, texts of some: always the same ones."""
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 50)
    first, second = facts_of(run), facts_of(run)
    assert 25 < len(first.rows) < 75
    assert first.rows == second.rows
    text = html_page(contents(first))
    assert f"A fixed sample of {len(first.rows)} of 160 finished seeds" in text
    assert sum(first.sources.values()) == 160


def test_the_same_run_gives_the_same_files(run: RunFolder, tmp_path: Path) -> None:
    """Byte for byte, so that a report can be kept under version control."""
    found = []
    for name in ("one", "two"):
        summary = write_report(contents(facts_of(run)), tmp_path / name / "report.html")
        found.append([file.read_bytes() for file in (tmp_path / name / "report.html", summary)])
        assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["report.html", "report.md"]
    assert found[0] == found[1]


def test_what_cannot_be_written_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    """With the file that it is about."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/report\.html"):
        write_report(contents(facts_of(run)), tmp_path / "file" / "report.html")


@pytest.mark.fault("F-89")
def test_f89_orders_are_named_and_are_text(tmp_path: Path) -> None:
    """F-89: what was ordered, by which door and what came of it, oldest first; nothing in it is markup."""
    run = make(tmp_path / "run", World(num_seeds=8))

    async def main() -> None:
        async with await RunStore.open(run.database, World(num_seeds=8).manifest) as store:
            for verb, body in (
                (Verb.PAUSE, {}),
                (Verb.AGENTS, {"add": ["hot"], "reason": EVIL.replace("\ud83d", "")[:300]}),
            ):
                command, _ = await store.note(Order(verb=verb, actor="port:token", body=body))
                await store.settle(command.id, Outcome.DONE, None)
            await store.note(Order(verb=Verb.DRAIN, actor="signal:SIGTERM"))

    run_real(main())
    told = contents(facts_of(run))
    page, summary = html_page(told), markdown(told)
    check_harmless(page)
    check_plain_markdown(summary)
    for text in (page, summary):
        assert text.index("Orders given") < text.index("pause") < text.index("add hot") < text.index("signal:SIGTERM")
        assert text.count("port:token") == 2
        assert "begun" in text.partition("signal:SIGTERM")[2]
