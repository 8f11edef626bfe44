"""`star-agents page RUN` of a running run: the address with its token, or why there is none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.cli.page import page
from star_agents.core.errors import ConfigError, ServiceGoneError
from star_agents.service.run.address import write_address
from tests.web.theatre import Theatre, played


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A service that answers."""
    (tmp_path / "run.db").write_bytes(b"begun")
    with played(Theatre(tmp_path)) as theatre:
        yield theatre


@pytest.mark.parametrize("read_only", [False, True])
def test_it_prints_the_address(theatre: Theatre, capsys: pytest.CaptureFixture[str], read_only: bool) -> None:
    """With the token behind the `#`, which browsers send to nobody."""
    address = theatre.address
    token = address.read_token if read_only else address.token
    page(theatre.folder.path, read_only=read_only)
    assert capsys.readouterr().out == f"http://127.0.0.1:{address.port}/#token={token}\n"


def test_without_a_port_it_says_what_to_do(theatre: Theatre) -> None:
    """The mend is in the line."""
    socket = theatre.address.socket
    write_address(theatre.folder.path, replace(theatre.address, port=None))
    with pytest.raises(ServiceGoneError, match=rf"service\.port is null.*ssh -L 8765:{socket} HOST"):
        page(theatre.folder.path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """Nothing was ever started there."""
    with pytest.raises(ConfigError, match="holds no run"):
        page(tmp_path)
