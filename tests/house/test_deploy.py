"""What is deployed is sound: every file is read as its program reads it, and names what there is."""

import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from star_agents.cli.main import app
from star_agents.core.records import Tally
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.view.judge_status import judge_status
from star_agents.service.view.loop_lag import LagProbe
from star_agents.service.view.metrics import Health, render
from tests.service.service_world import status

DEPLOY = Path(__file__).parents[2] / "deploy"
YAML_FILES = sorted(DEPLOY.rglob("*.y*ml"))


def documents(file: Path) -> list[dict[str, Any]]:
    return [dict(document) for document in yaml.safe_load_all(file.read_text())]


def commands(value: object) -> Iterator[list[str]]:
    """Every list of arguments of ours in a document."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from commands(inner)
    elif isinstance(value, list):
        if value and isinstance(value[0], str) and value[0] in {"star-agents", "serve-run"}:
            yield [str(part) for part in value if part != "star-agents"]
        else:
            for inner in value:
                yield from commands(inner)


@pytest.mark.parametrize("file", YAML_FILES, ids=lambda file: file.name)
def test_yaml_is_yaml(file: Path) -> None:
    """It parses, without tabs or a key twice, and every document says something."""
    assert "\t" not in file.read_text()
    assert all(documents(file))
    for text in re.split(r"^---$", file.read_text(), flags=re.MULTILINE):
        assert not parse_yaml(text, file.name).problems


def test_configs_are_sound() -> None:
    """The run of compose, and that in the ConfigMap, are taken as they stand."""
    (config_map, *_) = documents(DEPLOY / "kubernetes/star-agents.yaml")
    for name, text in (
        ("compose", (DEPLOY / "star-instruct.yaml").read_text()),
        ("kubernetes", config_map["data"]["star-instruct.yaml"]),
    ):
        settings = check(parse_yaml(text, name))
        assert settings.service.port == 8765
        assert settings.service.keep_alive


def test_commands_are_ours() -> None:
    """Every command that a manifest runs is one of the command line's, with options that it has."""
    found = [command for file in YAML_FILES for document in documents(file) for command in commands(document)]
    assert {command[0] for command in found} == {"serve-run", "status"}
    known = {command.name: command.callback for command in app.registered_commands}
    for name, *arguments in found:
        assert name in known
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option.removeprefix("--").replace("-", "_") in known[name].__annotations__


def test_manifests_hang_together() -> None:
    """Selectors match labels, mounts have volumes, and nothing runs as root or asks for a token of the cluster."""
    for document in (one for file in (DEPLOY / "kubernetes").iterdir() for one in documents(file)):
        if document["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        spec = document["spec"]
        pod = spec["template"]["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert ":" in container["image"]
    (stateful,) = (one for one in documents(DEPLOY / "kubernetes/star-agents.yaml") if one["kind"] == "StatefulSet")
    assert stateful["spec"]["replicas"] == 1
    assert stateful["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]


def test_compose_names_what_there_is() -> None:
    """Files that are mounted lie here, volumes are declared, and the port is nobody else's."""
    (compose,) = documents(DEPLOY / "compose.yaml")
    for service in compose["services"].values():
        assert "ports" not in service
        for source in (mount.split(":")[0] for mount in service.get("volumes", ())):
            is_here = (DEPLOY / source).is_file() or source == "./incoming"
            assert is_here or source in compose["volumes"]


def test_the_unit_is_one() -> None:
    """Notify, drain by SIGTERM, no restart for what a restart cannot mend; systemd reads it where it is there."""
    file = DEPLOY / "star-agents@.service"
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys have capitals
    unit.read(file)
    service = unit["Service"]
    assert (service["Type"], service["KillSignal"]) == ("notify", "SIGTERM")
    assert set(service["RestartPreventExitStatus"].split()) == {"73", "75", "78"}
    assert "serve-run" in service["ExecStart"]
    assert "--resume" in service["ExecStart"]
    analyze = shutil.which("systemd-analyze")
    if analyze:
        done = subprocess.run([analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if "star-agents@" in line]
        assert all("not executable" in line or "No such file" in line for line in told), told


def test_the_dashboard_draws_figures_that_there_are() -> None:
    """Every series that a panel asks for is on the metrics page; every panel has a place of its own."""
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    judging = judge_status(Tally(()), {}, swap=True)
    health = Health(lag=LagProbe().snapshot(), stalls=0, tasks=0, wal_bytes=0)
    page = render(replace(status(), judging=judging), health).decode()
    served = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    served |= {f"{name}_bucket" for name in served}
    places = set()
    for panel in dashboard["panels"]:
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        for target in panel["targets"]:
            asked = set(re.findall(r"\b(?:star_agents|process)_\w+", target["expr"]))
            assert asked
            assert asked <= served, asked - served
    assert len(places) == len(dashboard["panels"])


def test_the_image_is_built_from_what_there_is() -> None:
    """What the Dockerfile copies lies in the repository; it does not run as root."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert all((DEPLOY.parent / name).exists() for names in copied for name in names)
    assert "USER star" in lines
