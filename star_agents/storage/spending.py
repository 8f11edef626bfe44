"""What calls have cost, by who is charged: the rows of the table `spend`.

Law: a reply is booked once, to one account, in the transaction that records it; what was paid for and thrown
away is booked apart. Tokens are stored and dollars are not: a price is the config's, and may be put right.
"""

from dataclasses import dataclass, fields

import apsw

from star_agents.core.calls import NOTHING, Failure, Reply, Request, sum_known


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """Who is charged. Runs begun under schema 1 did not tell agent, pair and purpose: there they are empty."""

    endpoint: str
    agent: str = ""
    pair: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """What was asked for and served, over all starts.

    `calls` includes the `failures`, and `sends` their charged tries. `reasoning_tokens` are a part of the output
    and `cached_tokens` of the input, None where no server ever told. `wasted_*` were served and of no use, and are
    in neither. The tokens of `estimated` calls were counted by us, not by the server.
    """

    calls: int = 0
    failures: int = 0
    sends: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    wasted_input: int = 0
    wasted_output: int = 0
    estimated: int = 0

    @property
    def tokens(self) -> int:
        """All that was served, of use or not."""
        return self.input_tokens + self.output_tokens + self.wasted_input + self.wasted_output

    def __add__(self, other: "Spend") -> "Spend":
        """Both together."""
        return Spend(
            calls=self.calls + other.calls,
            failures=self.failures + other.failures,
            sends=self.sends + other.sends,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=sum_known(self.reasoning_tokens, other.reasoning_tokens),
            cached_tokens=sum_known(self.cached_tokens, other.cached_tokens),
            wasted_input=self.wasted_input + other.wasted_input,
            wasted_output=self.wasted_output + other.wasted_output,
            estimated=self.estimated + other.estimated,
        )


_COLUMNS = ", ".join(field.name for field in (*fields(Account), *fields(Spend)))
_WIDTH = len(fields(Account))


def booked(request: Request, reply: Reply) -> tuple[Account, Spend]:
    """Who is charged for a reply, and what."""
    usage, wasted = NOTHING if isinstance(reply, Failure) else reply.usage, reply.wasted
    return Account(reply.endpoint, request.agent, request.pair, request.key.purpose.value), Spend(
        calls=1,
        failures=int(isinstance(reply, Failure)),
        sends=reply.attempts,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cached_tokens=usage.cached_tokens,
        wasted_input=wasted.input_tokens,
        wasted_output=wasted.output_tokens,
        estimated=int(usage.is_estimated or wasted.is_estimated),
    )


def stored_spend(connection: apsw.Connection) -> dict[Account, Spend]:
    """Every account, and what it was charged."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM spend")  # noqa: S608  # names of our own fields
    return {Account(*row[:_WIDTH]): Spend(*row[_WIDTH:]) for row in rows}
