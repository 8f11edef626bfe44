import pickle
from pathlib import Path

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.service.config.secret_refs import EndpointSecrets, resolve_secrets
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from tests.service.configs import spoiled


def resolve(reference: str, environ: dict[str, str], key: str = "api_key") -> dict[str, EndpointSecrets]:
    config = spoiled(f"endpoints.local.{key}", reference)
    config["endpoints"]["local"].setdefault("proxy", "http://proxy:3128")
    return resolve_secrets(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), environ)


def test_a_variable_or_a_file_gives_the_secret(tmp_path: Path) -> None:
    """Both kinds of reference are followed, and the value is shown by nothing but `reveal`."""
    file = tmp_path / "key"
    file.write_text("canary-file\n")
    for reference, value in (("${KEY}", "canary-env"), (f"file:{file}", "canary-file")):
        secret = resolve(reference, {"KEY": "canary-env"})["local"].api_key
        assert secret is not None
        assert secret.reveal() == value
        assert "canary" not in f"{secret} {secret!r} {secret:>40} {vars(type(secret))}"
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(secret)


@pytest.mark.parametrize("reference", ["${KEY}", "file:/no/such/file"])
def test_a_secret_that_is_not_there_is_named(reference: str) -> None:
    """An unset or empty variable and a missing file are config errors with the path of the key."""
    with pytest.raises(ConfigError, match=r"endpoints\.local\.api_key: .*(KEY|file)"):
        resolve(reference, {"KEY": " "})


def test_a_header_and_a_proxy_may_need_a_secret_too() -> None:
    """A header whose whole value is a reference is resolved; one that only looks like it in part is left alone."""
    found = resolve("${KEY}", {"KEY": "canary"}, "headers.X-Org")["local"].headers
    assert found["X-Org"].reveal() == "canary"
    assert resolve("for ${KEY}", {}, "headers.X-Org")["local"].headers == {}
    auth = resolve("${KEY}", {"KEY": "me:canary"}, "proxy_auth")["local"].proxy_auth
    assert auth is not None
    assert auth.reveal() == "me:canary"
    with pytest.raises(ConfigError, match=r"endpoints\.local\.headers\.X-Org: env:KEY is not set"):
        resolve("${KEY}", {}, "headers.X-Org")
