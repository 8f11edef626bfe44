import pickle
from pathlib import Path

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.core.secret import Secret
from star_agents.service.secret_refs import resolve_secrets
from star_agents.service.validation import check
from star_agents.service.yaml_source import parse_yaml
from tests.service.configs import spoiled


def resolve(reference: str, environ: dict[str, str]) -> dict[str, Secret]:
    config = spoiled("endpoints.local.api_key", reference)
    return resolve_secrets(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), environ)


def test_a_variable_or_a_file_gives_the_secret(tmp_path: Path) -> None:
    """Both kinds of reference are followed, and the value is shown by nothing but `reveal`."""
    file = tmp_path / "key"
    file.write_text("canary-file\n")
    for reference, value in (("${KEY}", "canary-env"), (f"file:{file}", "canary-file")):
        secret = resolve(reference, {"KEY": "canary-env"})["local"]
        assert secret.reveal() == value
        assert "canary" not in f"{secret} {secret!r} {secret:>40} {vars(type(secret))}"
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(secret)


@pytest.mark.parametrize("reference", ["${KEY}", "file:/no/such/file"])
def test_a_secret_that_is_not_there_is_named(reference: str) -> None:
    """An unset or empty variable and a missing file are config errors with the path of the key."""
    with pytest.raises(ConfigError, match=r"endpoints\.local\.api_key: .*(KEY|file)"):
        resolve(reference, {"KEY": " "})
