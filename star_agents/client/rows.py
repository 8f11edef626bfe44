"""Finished rows of a run as they come: `for row in stream_rows("runs/star-instruct"): ...`.

Law: rows come in the order of their commits, each with its `seq`, every one once, whatever is restarted: the service
may be killed and resumed meanwhile, and a reader that begins again with `after` set to the last `seq` it has dealt
with goes on behind it. A finished run is read from its folder; no service is needed for that.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from star_agents.client.connection import address_at, address_of, answered
from star_agents.core.errors import ServiceGoneError, ServiceRefusedError
from star_agents.service.run.address import Address
from star_agents.service.run.ended import read_ended
from star_agents.service.view.status import Ending
from star_agents.service.view.tail import RowShape, lines_after
from star_agents.storage.folder import RunFolder

Row = dict[str, Any]

RETRY_S = 0.5
PATIENCE_S = 600.0
NOT_NOW = 409
FULL = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class TailOptions:
    """How rows are read. `token` is for a URL; `patience_s` is how long a service that is gone is waited for.

    A run that has come to one of `endings` (`service.status.Ending`) is over. One that waits for more seeds
    (`service.keep_alive`) never completes: name "stopped on request" too where a drain is the end of it.
    """

    shape: RowShape = "messages"
    token: str = ""
    patience_s: float = PATIENCE_S
    endings: frozenset[str] = frozenset({Ending.COMPLETE})


@dataclass(slots=True, kw_only=True)
class RowStream:
    """An iterable of rows, to be made by `stream_rows`. Iterating again goes on behind the last row that was taken."""

    run: Path | None
    address: Address | None
    follow: bool
    options: TailOptions
    after: int
    """The `seq` of the last row that was taken: what a checkpoint keeps."""

    def __iter__(self) -> Iterator[Row]:
        """Yield rows until the run is over, or without `follow` those that there are.

        Raises:
            ServiceGoneError: nobody has answered for `patience_s`, and the run is not over.
            ServiceRefusedError: the token is not taken.
        """
        quiet_since = time.monotonic()
        while True:
            try:
                ending = yield from self._connected()
            except ServiceGoneError as error:
                if self._may_read_folder():
                    yield from self._stored()
                    return
                if time.monotonic() - quiet_since > self.options.patience_s:
                    raise ServiceGoneError(
                        f"{error}; waited {self.options.patience_s:g} s for it to come back"
                    ) from error
            else:
                if ending in self.options.endings or not self.follow:
                    return
                quiet_since = time.monotonic()
            time.sleep(RETRY_S)

    def _connected(self) -> Generator[Row, None, str]:
        """Rows of one connection; returns how it ended."""
        address = self.address or address_of(self.run or Path())
        query = f"after={self.after}&follow={str(self.follow).lower()}&format={self.options.shape}"
        try:
            with answered(address, "GET", f"/api/v1/rows?{query}") as reply:
                for line in reply:
                    row = orjson.loads(line) if line.strip() else None
                    if row is None:
                        continue
                    if "end" in row:
                        return str(row["end"])
                    self.after = row["seq"]
                    yield row
        except ServiceRefusedError as error:
            if error.status not in {NOT_NOW, FULL}:
                raise
            raise ServiceGoneError(str(error)) from error
        raise ServiceGoneError("the stream broke off")

    def _may_read_folder(self) -> bool:
        """Whether no service is to be waited for."""
        return self.run is not None and (not self.follow or read_ended(self.run) in self.options.endings)

    def _stored(self) -> Iterator[Row]:
        """What the folder holds; the run is at rest."""
        database = RunFolder(self.run or Path()).database
        for seq, line in lines_after(database, after=self.after, shape=self.options.shape):
            if line is not None:
                self.after = seq
                yield orjson.loads(line)


def stream_rows(
    run: str | Path, *, after: int = 0, follow: bool = True, options: TailOptions | None = None
) -> RowStream:
    """Rows of a run: of its folder (where its service is found), or of a service at `http://host:port`.

    With `follow` the stream goes on over every restart of the service until the run is over.
    """
    options = options or TailOptions()
    is_url = str(run).startswith("http://")
    return RowStream(
        run=None if is_url else Path(run),
        address=address_at(str(run), options.token) if is_url else None,
        follow=follow,
        options=options,
        after=after,
    )
