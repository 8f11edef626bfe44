"""`star-agents init`: from flags, from questions on a terminal, and never over what is there."""

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from star_agents.cli.commented import commented
from star_agents.cli.main import app
from star_agents.cli.reference import key_rows
from star_agents.core.errors import ConfigError, SeedError, StarError
from star_agents.service.config.draft import Wish, drafted, kind_of, named
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import load_settings
from tests.process.harness import PATIENCE_S, ROOT, mock_endpoint, tiny_models

SHIPPED = "shipped:self-instruct-24"
NOWHERE = "http://127.0.0.1:9/v1"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def init(config: Path, *flags: str) -> Result:
    """The command without a terminal."""
    return CliRunner().invoke(app, ["init", str(config), *flags])


def refusal(config: Path, *flags: str) -> StarError:
    """Why it wrote nothing."""
    error = init(config, *flags).exception
    assert isinstance(error, StarError), error
    return error


@pytest.mark.parametrize("goal", ["quick", "quality", "cheap"])
@pytest.mark.parametrize("where", [("--endpoint", NOWHERE), ("--local", "vllm"), ("--local", "transformers")])
def test_flags_alone_make_a_config_that_is_sound(tmp_path: Path, goal: str, where: tuple[str, str]) -> None:
    """For every goal and every place of the models, and with one model or two."""
    for models in (["--model", "org/A-7B"], ["--model", "org/A-7B", "--model", "b"]):
        config = tmp_path / f"{len(models)}.yaml"
        done = init(config, "--seeds", SHIPPED, *where, *models, "--goal", goal)
        assert done.exit_code == 0, done.output
        settings = load_settings(config)
        assert settings.judge.endpoint == "a-7b"
        assert len(settings.endpoints) == len(models) // 2
        assert f"star-agents doctor {config}" in done.output
        assert f"star-agents serve-run {config} --dry-run" in done.output


def test_the_seeds_are_looked_at(tmp_path: Path) -> None:
    """How many rows, of which format, with which fields, and the first of them."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"conversations": [{"from": "human", "value": "Why \\u001b[31mred?"}]}\n' * 3)
    done = init(tmp_path / "c.yaml", "--seeds", str(seeds), "--endpoint", NOWHERE, "--model", "m")
    assert f"{seeds}: 3 rows, sharegpt, fields conversations" in done.output
    assert "the first: Why [31mred?" in done.output
    assert "\x1b" not in done.output


def test_unreadable_seeds_are_told_with_the_place_and_the_mend(tmp_path: Path) -> None:
    """And nothing is written."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"text": "no instruction"}\n')
    error = refusal(tmp_path / "c.yaml", "--seeds", str(seeds), "--endpoint", NOWHERE, "--model", "m")
    assert isinstance(error, SeedError)
    assert f"{seeds}:1" in str(error)
    assert "no field named instruction" in str(error)
    assert not (tmp_path / "c.yaml").exists()


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Until --force says otherwise."""
    config = tmp_path / "c.yaml"
    config.write_text("mine")
    flags = ("--seeds", SHIPPED, "--endpoint", NOWHERE, "--model", "m")
    assert "--force" in str(refusal(config, *flags))
    assert config.read_text() == "mine"
    assert init(config, *flags, "--force").exit_code == 0
    assert load_settings(config).run.name == "c"
    assert sorted(tmp_path.iterdir()) == [config]


def test_without_a_terminal_all_that_is_missing_is_named(tmp_path: Path) -> None:
    """At once, and nobody is asked."""
    error = refusal(tmp_path / "c.yaml")
    assert isinstance(error, ConfigError)
    assert str(error) == "there is no terminal to ask on: give --seeds, --endpoint or --local, --model"


def test_a_key_is_named_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's name is in the file, its value is not; what is no name is refused without being repeated."""
    monkeypatch.setenv("MY_KEY", "sk-hush-hush")
    config = tmp_path / "c.yaml"
    flags = ("--seeds", SHIPPED, "--endpoint", NOWHERE, "--model", "m")
    done = init(config, *flags, "--key-env", "MY_KEY")
    assert yaml.safe_load(config.read_text())["endpoints"]["m"]["api_key"] == "${MY_KEY}"
    assert "hush" not in config.read_text() + done.output
    for key in ("sk-hush-hush", "gsk_hush1234"):
        wrong = init(tmp_path / "d.yaml", *flags, "--key-env", key)
        assert wrong.exit_code == 2
        assert "hush" not in wrong.output


def test_every_key_that_is_written_is_explained_by_the_schema() -> None:
    """The comment above a key holds what the schema says of it, once, and no key is without."""
    wish = Wish(name="w", seeds=SHIPPED, models=("a", "b"), base_url=NOWHERE)
    served = Wish(name="w", seeds=SHIPPED, models=("a", "b"), engine="vllm")
    rows = key_rows(Settings.model_json_schema())
    for text in (commented(drafted(wish), "head"), commented(drafted(served), "head")):
        words = " ".join(
            re.sub(r"^ *#", "", line).strip() for line in text.splitlines() if line.strip().startswith("#")
        )
        data = yaml.safe_load(text)
        data["endpoints"] = {"NAME": data["endpoints"]["a"]}
        for section, keys in data.items():
            for name in leaves(section, keys):
                assert rows[name].says, name
                assert words.count(rows[name].says) == 1, name


def leaves(path: str, value: object) -> list[str]:
    """Dotted paths of the keys below a section, agents under the name NAME."""
    if not isinstance(value, dict):
        return [path]
    is_agents = path in {"agents.instruction", "agents.response"}
    return [leaf for key, inner in value.items() for leaf in leaves(f"{path}.{'NAME' if is_agents else key}", inner)]


def test_names_are_short_and_never_alike() -> None:
    """Whatever models are called."""
    assert named(["Qwen/Qwen2.5-7B", "other/qwen2.5-7b", "/models/x/", "***"]) == [
        "qwen2.5-7b",
        "qwen2.5-7b-2",
        "x",
        "model",
    ]


@pytest.mark.parametrize("models", [("x/a-3", "y/a", "z/a"), ("a", "b/a", "a-2"), ("a", "a-free"), ("a-reviser", "a")])
def test_no_model_is_lost_to_a_name(models: tuple[str, ...]) -> None:
    """A name made up for one model is never that of another, nor of an agent of another."""
    draft = drafted(Wish(name="w", seeds=SHIPPED, models=models, base_url=NOWHERE))
    assert [each["model"] for each in draft["endpoints"].values()] == list(models)
    assert len(draft["agents"]["response"]) == 3 * len(models)


def test_the_next_commands_can_be_pasted(tmp_path: Path) -> None:
    """A path with a space is one word to the shell."""
    config = tmp_path / "my run.yaml"
    done = init(config, "--seeds", SHIPPED, "--endpoint", NOWHERE, "--model", "m")
    [command] = [line for line in done.output.splitlines() if " doctor " in line]
    assert shlex.split(command) == ["star-agents", "doctor", str(config)]


def test_models_that_are_served_here_take_no_key(tmp_path: Path) -> None:
    """A flag that would be dropped is refused."""
    flags = ("--seeds", SHIPPED, "--local", "vllm", "--model", "m", "--key-env", "MY_KEY")
    assert init(tmp_path / "c.yaml", *flags).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://anthropic.com.evil.org/v1", "openai"),
        (NOWHERE, "openai"),
    ],
)
def test_the_host_tells_the_api(url: str, kind: str) -> None:
    """By the whole name of the host."""
    assert kind_of(url) == kind


def test_score_only_needs_no_config(tmp_path: Path) -> None:
    """It tells the command, and writes nothing."""
    done = init(tmp_path / "c.yaml", "--seeds", SHIPPED, "--goal", "score-only", "--small", "s")
    assert done.exit_code == 0, done.output
    assert f"star-agents score {SHIPPED} --small s" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(90)
def test_an_endpoint_that_answers_is_asked_for_its_models(tmp_path: Path) -> None:
    """The first that it lists is taken where none was named."""
    with mock_endpoint(tmp_path, "--models", "first,second") as endpoint:
        done = init(tmp_path / "c.yaml", "--seeds", SHIPPED, "--endpoint", endpoint.base_url)
    assert done.exit_code == 0, done.output
    assert [each.model for each in load_settings(tmp_path / "c.yaml").endpoints.values()] == ["first"]


class Conversation:
    """A command on a pseudo-terminal: waits for a question, then answers it."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        command = [sys.executable, "-m", "star_agents", *arguments]
        self.child = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.said = ""
        self._heard = 0

    def hear(self, words: str) -> None:
        """Read until it has said these words, since the last ones."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.said.find(words, self._heard)) < 0:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not heard: {words!r} in {self.said!r}"
            try:
                read = os.read(self._ours, 4096)
            except OSError:  # the child has gone, and with it the terminal
                raise AssertionError(f"not heard: {words!r} in {self.said!r}") from None
            self.said = ESCAPE.sub("", self.said + read.decode())
        self._heard = found + len(words)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type."""
        self.hear(question)
        os.write(self._ours, f"{text}\n".encode())

    def end(self) -> int:
        """Its exit code."""
        try:
            return self.child.wait(PATIENCE_S)
        finally:
            self.child.kill()
            os.close(self._ours)


@pytest.mark.timeout(150)
def test_a_person_is_asked(tmp_path: Path) -> None:
    """Wrong answers are asked again, models are offered by number, a key typed by mistake is not taken."""
    config = tmp_path / "mine.yaml"
    with mock_endpoint(tmp_path, "--models", "first,second") as endpoint:
        talk = Conversation("init", str(config))
        talk.answer("Seeds:", str(tmp_path / "none.jsonl"))
        talk.hear("none.jsonl: ")
        talk.answer("Seeds:", "")
        talk.hear("24 rows, alpaca")
        talk.answer("What matters", "everything")
        talk.answer("What matters", "quick")
        talk.answer("Who answers", "url")
        talk.answer("URL", endpoint.base_url)
        talk.answer("Variable", "gsk_1234")
        talk.answer("Variable", "")
        talk.hear("2  second")
        talk.answer("Models", "2, first")
        talk.hear("serve-run")
        assert talk.end() == 0, talk.said
    settings = load_settings(config)
    assert [each.model for each in settings.endpoints.values()] == ["second", "first"]
    assert settings.seeds.path == SHIPPED
    assert "1234" not in config.read_text()


def test_a_person_who_leaves_gets_no_file(tmp_path: Path) -> None:
    """The end of input is no traceback."""
    talk = Conversation("init", str(tmp_path / "c.yaml"), "--seeds", SHIPPED)
    talk.answer("What matters", "quality")
    talk.answer("Who answers", "\x04")
    talk.hear("Aborted")
    assert talk.end() == 1
    assert "Traceback" not in talk.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_what_is_written_runs_to_a_data_set(tmp_path: Path) -> None:
    """Against a mock endpoint, with random scorers: every seed becomes a row."""
    models = tiny_models(tmp_path)
    config = tmp_path / "c.yaml"
    with mock_endpoint(tmp_path, "--models", "m") as endpoint:
        flags = ["--small", models["small"], "--large", models["large"], "--goal", "quick"]
        done = init(config, "--seeds", SHIPPED, "--endpoint", endpoint.base_url, "--model", "m", *flags)
        assert done.exit_code == 0, done.output
        text = config.read_text().replace("embedder: minilm-l6-v2", f"embedder: {models['embedder']}")
        config.write_text(text.replace("port: 8765", "port: 0"))
        command = [sys.executable, "-m", "star_agents", "serve-run", str(config), "--run-dir", str(tmp_path / "run")]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len((tmp_path / "run" / "out" / "messages" / "train.jsonl").read_text().splitlines()) == 24
