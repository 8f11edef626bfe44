"""`star-agents page RUN`: the address with its token, or why there is none."""

from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.cli.page import page
from star_agents.core.errors import ServiceGoneError
from star_agents.service.run.address import Address, write_address

STEERS, LOOKS = "may-steer", "may-look"
ADDRESS = Address(host="127.0.0.1", port=8765, socket="/run/x.sock", token=STEERS, read_token=LOOKS, pid=1)


@pytest.mark.parametrize(("read_only", "token"), [(False, STEERS), (True, LOOKS)])
def test_it_prints_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str], read_only: bool, token: str) -> None:
    """With the token behind the `#`, which browsers send to nobody."""
    write_address(tmp_path, ADDRESS)
    page(tmp_path, read_only=read_only)
    assert capsys.readouterr().out == f"http://127.0.0.1:8765/#token={token}\n"


def test_without_a_port_or_a_service_it_says_what_to_do(tmp_path: Path) -> None:
    """The mend is in the line."""
    with pytest.raises(ServiceGoneError, match="serve-run --resume"):
        page(tmp_path)
    write_address(tmp_path, replace(ADDRESS, port=None))
    with pytest.raises(ServiceGoneError, match=r"service\.port is null.*ssh -L 8765:/run/x\.sock HOST"):
        page(tmp_path)
