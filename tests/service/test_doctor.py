"""Each check says what it saw, and of what is wrong whose fault it is and the mend; one that hangs hides no other."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import yaml

from star_agents.core.errors import ConfigError, StoreError
from star_agents.core.secret import Secret
from star_agents.endpoints import preflight
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.servers.gpu_memory import Memory
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock.conduct import Conduct
from star_agents.mock.server import MockServer
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.doctor import endpoints as doctor_endpoints
from star_agents.service.doctor import gpu as doctor_gpu
from star_agents.service.doctor import machine as doctor_machine
from star_agents.service.doctor import models as doctor_models
from star_agents.service.doctor.checks import Cause, Check, Finding, Findings, Level, examined, in_thread, ok
from tests.loops import run_real, run_virtual
from tests.scoring.tiny import BOS, save_tiny, tiny_tokenizer
from tests.service.configs import SOUND, spoiled

NFS = "36 35 0:30 / / rw - ext4 /dev/sda1 rw\n37 36 0:31 / {folder} rw - nfs4 server:/data rw\n"


def settings(path: str = "run.seed", value: object = 3) -> Settings:
    return check(parse_yaml(yaml.safe_dump(spoiled(path, value)), "run.yaml"))


def only(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    return finding


async def _fine() -> Findings:
    return [ok("fine", "it is")]


async def _hangs() -> Findings:
    await asyncio.Event().wait()
    return []


async def _two_problems() -> Findings:
    raise ConfigError("a: is wrong", "b: is wrong")


async def _damaged() -> Findings:
    raise StoreError("run.db: damaged")


def test_every_check_is_told_and_in_order() -> None:
    """One that hangs is told after its deadline, and every error with what it lies at."""

    async def main() -> None:
        looks = (_hangs, _two_problems, _damaged, _fine)
        found = await examined([Check(subject=look.__name__, look=look, deadline_s=5.0) for look in looks])
        assert [(one.level, one.cause, one.seen) for one in found] == [
            (Level.FAIL, Cause.UNAVAILABLE, "no answer within 5 s"),
            (Level.FAIL, Cause.CONFIG, "a: is wrong"),
            (Level.FAIL, Cause.CONFIG, "b: is wrong"),
            (Level.FAIL, Cause.STORE, "run.db: damaged"),
            (Level.OK, None, "it is"),
        ]
        assert asyncio.get_running_loop().time() < 6

    run_virtual(main())


def test_an_error_of_blocking_work_comes_back() -> None:
    """As it was raised, from the thread to who waits."""

    def work() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await in_thread(work)

    run_real(main())


def test_blocking_work_that_hangs_is_left_behind() -> None:
    """Nobody waits for it after the deadline, and nothing breaks when it ends after all."""
    let_go, ended = threading.Event(), threading.Event()

    def work() -> Findings:
        let_go.wait()
        ended.set()
        return []

    async def main() -> None:
        look = partial(in_thread, work)
        hung = only(await examined([Check(subject="disk", look=look, deadline_s=0.05)]))
        assert (hung.level, hung.seen) == (Level.FAIL, "no answer within 0.05 s")

    run_real(main())
    let_go.set()
    assert ended.wait(10)
    for thread in threading.enumerate():
        if thread.name == "check":
            thread.join(10)


def test_packages_are_what_is_needed() -> None:
    """Those of this very installation are; one that is missing, or too old, is told with the mend."""
    assert only([*doctor_machine.packages()]).level is Level.OK
    old, missing = doctor_machine.packages(["aiohttp>=99", "no-such-package", "vllm; extra == 'vllm'"])
    assert "aiohttp is " in old.seen
    assert "aiohttp>=99 is needed" in old.seen
    assert missing.seen == "no-such-package is not installed"
    assert "pip install" in missing.mend


@pytest.mark.fault("F-79")
def test_an_sqlite_that_may_lose_commits_is_warned_of() -> None:
    """Below 3.51.3; the one that is linked in is not."""
    assert doctor_machine.sqlite((3, 51, 2)).level is Level.WARN
    assert doctor_machine.sqlite((3, 51, 3)).level is Level.OK
    assert doctor_machine.sqlite().level is Level.OK


@pytest.mark.fault("F-79")
def test_a_network_file_system_is_told(tmp_path: Path) -> None:
    """As a start would refuse it; of a folder that is not there yet, the nearest that is counts."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(NFS.format(folder=tmp_path.resolve()))
    bad, _ = doctor_machine.disk(tmp_path / "not" / "yet", mounts)
    assert (bad.level, bad.cause) == (Level.FAIL, Cause.CONFIG)
    assert "network file system (nfs4)" in bad.seen
    mounts.write_text(NFS.format(folder="/elsewhere"))
    assert "network file system" not in str([*doctor_machine.disk(tmp_path, mounts)])


def test_little_memory_is_told(tmp_path: Path) -> None:
    """Against what the models take, and where there is next to none."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  16000000 kB\nMemAvailable:  4000000 kB\nHugePages_Total:  0\n")
    assert doctor_machine.memory(0, meminfo).level is Level.OK
    assert doctor_machine.memory(8 * 2**30, meminfo).seen == "3.8 GiB free; the models on the CPU take about 8.0"
    meminfo.write_text("MemAvailable:  1000000 kB\n")
    assert doctor_machine.memory(0, meminfo).level is Level.WARN


@pytest.mark.fault("F-15")
def test_too_few_file_descriptors_are_told_with_the_command() -> None:
    """What all endpoints may have open at once, and a reserve."""
    specs = [EndpointSpec(name="e", base_urls=("http://a/v1",), model="m", concurrency=500)]
    few = doctor_machine.descriptors(specs, limit=256)
    needs = int(few.mend.removeprefix("ulimit -n "))
    assert few.level is Level.WARN
    assert needs > 500
    assert doctor_machine.descriptors(specs, limit=needs).level is Level.OK


def test_a_port_that_is_taken_is_told() -> None:
    """By trying to bind it, and it is free again afterwards."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        busy = doctor_machine.port("127.0.0.1", number)
        assert (busy.level, busy.cause) == (Level.FAIL, Cause.CONFIG)
        assert f"127.0.0.1:{number} (in use)" in busy.seen
    assert doctor_machine.port("127.0.0.1", number).level is Level.OK
    assert doctor_machine.port("127.0.0.1", 0).level is Level.OK


@pytest.mark.parametrize(
    ("driver", "torch", "device", "level", "seen"),
    [
        ({}, ("2.9", None, 0), "auto", Level.OK, "none: the scorers run on the CPU"),
        ({0: Memory(70, 80)}, ("2.9", "12.8", 1), "cuda:0", Level.OK, "0: 70 of 80 MiB free"),
        ({0: Memory(70, 80)}, ("2.9", None, 0), "auto", Level.WARN, "built for the CPU alone"),
        ({}, None, "auto", Level.FAIL, "torch cannot be imported"),
        ({0: Memory(70, 80)}, ("2.9", "12.8", 1), "cuda:0,cuda:3", Level.FAIL, "names GPU 3, and there are 1"),
        ({}, ("2.9", None, 0), "cuda", Level.FAIL, "names GPU 0, and there are 0"),
    ],
)
def test_gpus_are_what_the_config_counts_on(
    driver: dict[int, Memory], torch: tuple[str, str | None, int] | None, device: str, level: Level, seen: str
) -> None:
    """The driver's word and torch's beside the numbers that the config names."""
    found = [*doctor_gpu.judged(driver, torch, settings("scoring.device", device))]
    assert found[0].level is level
    assert seen in found[0].seen


def test_torch_is_asked_apart() -> None:
    """The real one of this machine, in a process of its own."""

    async def main() -> None:
        found = await doctor_gpu.gpus(None)
        assert all(finding.level is not Level.FAIL for finding in found)
        assert "torch" in found[0].seen

    run_real(main())


def at_server(spec: EndpointSpec, *, calls: bool = True) -> list[Finding]:
    """What is said of an endpoint whose server knows one key and one model."""

    async def main() -> list[Finding]:
        async with MockServer(conduct=Conduct(models=("qwen",), api_key="right")) as server:
            return await doctor_endpoints.replica(spec, server.base_url, calls=calls)

    return run_real(main())


KEY = Secret("right", origin="env:KEY")
SPEC = EndpointSpec(name="e", base_urls=("http://127.0.0.1:1/v1",), model="qwen", api_key=KEY)


def test_an_endpoint_that_is_well() -> None:
    """It is there, has our time, and answers a call; without calls none is made."""
    there, *others = at_server(SPEC)
    assert (there.level, "knows us" in there.seen) == (Level.OK, True)
    assert others[-1].seen == "e: qwen answers"
    assert all(finding.level is Level.OK for finding in others)
    assert "answers" not in str(at_server(SPEC, calls=False))


@pytest.mark.fault("F-22")
def test_an_endpoint_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that it does not serve and a key that it does not know are the config's; a server that is gone is not."""
    monkeypatch.setattr(preflight, "WAITS_S", (0.01,))
    wrong = at_server(replace(SPEC, model="qwem"))[0]
    assert (wrong.cause, wrong.seen.partition("): ")[2]) == (Cause.CONFIG, "no model qwem; did you mean qwen?")
    unknown = at_server(replace(SPEC, api_key=Secret("wrong", origin="env:KEY")))[0]
    assert (unknown.cause, unknown.seen.partition("): ")[2]) == (Cause.CONFIG, "the key is rejected (env:KEY)")

    async def main() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
            gone = only(await doctor_endpoints.replica(SPEC, url, calls=True))
        assert gone.cause is Cause.UNAVAILABLE
        assert "cannot connect" in gone.seen

    run_real(main())


@pytest.mark.parametrize(("second", "level"), [(20, Level.OK), (59, Level.WARN)])
def test_a_clock_that_is_off_is_told(second: int, level: Level) -> None:
    """Against the server's `Date`; one that sends none says nothing."""
    raw = RawReply(200, {"date": "Mon, 06 Jul 2026 10:00:00 GMT"}, b"", 0.1, "")
    now = datetime(2026, 7, 6, 10, 0, second, tzinfo=UTC)
    assert only([*doctor_endpoints.clock_of(SPEC, raw, now)]).level is level
    assert [*doctor_endpoints.clock_of(SPEC, replace(raw, headers={}), now)] == []


def test_a_model_that_is_not_here_is_told(tmp_path: Path) -> None:
    """A folder is here, a hub id would be downloaded, and a packaged model has to be pulled."""
    (tmp_path / "model").mkdir()
    assert only(doctor_models.present("scoring.small", str(tmp_path / "model"), tmp_path)).level is Level.OK
    assert only(doctor_models.present("scoring.small", "nobody/no-such-model", tmp_path)).level is Level.WARN
    with pytest.raises(ConfigError, match="models pull smollm2-135m"):
        doctor_models.present("scoring.small", "smollm2-135m", tmp_path)


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        (None, "it has no chat template"),
        ("{{ messages[0]['content'] }}", "ends in 'hree fruits.' and not in a new line"),
        (f"{BOS}{BOS}{{{{ messages[0]['content'] + '\n' }}}}", "begins with two BOS tokens"),
        ("{{ messages[0]['content'] | upper }}\n", "never shows"),
    ],
)
def test_a_template_that_is_off_is_told(tmp_path: Path, template: str | None, seen: str) -> None:
    """By one prompt."""
    folder = Path(save_tiny(tmp_path / "model"))
    scoring = settings("scoring.small", str(folder)).scoring
    assert only([*doctor_models.templates(scoring, tmp_path)]).level is Level.OK
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tiny_tokenizer(chat_template=template).save_pretrained(folder)
    if seen == "never shows":
        with pytest.raises(ConfigError, match=seen):
            list(doctor_models.templates(scoring, tmp_path))
    else:
        assert seen in only([*doctor_models.templates(scoring, tmp_path)]).seen


def test_what_scorers_take_on_a_cpu(tmp_path: Path) -> None:
    """Twice their weights for each worker; on a GPU nothing of this machine's memory."""
    folder = Path(save_tiny(tmp_path / "model"))
    size = (folder / "model.safetensors").stat().st_size
    config = spoiled("scoring", {"small": str(folder), "large": str(folder), "workers": 3, "device": "cpu"})
    on_cpu = check(parse_yaml(yaml.safe_dump(config), "run.yaml"))
    assert doctor_models.cpu_bytes(on_cpu, tmp_path) == 2 * 3 * 2 * size
    config["scoring"]["device"] = "cuda:0"
    assert doctor_models.cpu_bytes(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), tmp_path) == 0
    assert SOUND["scoring"] == {"small": "tiny"}
