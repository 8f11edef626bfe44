"""When seeds are planned and when they are learnt from: by arrival, or in the order in which they were planned.

Laws: a seed is drawn only from weights that know all but `max_lag` batches of the seeds planned before it, and it
is learnt from before the weights have moved on more than `max_lag` batches since its draw. In order, what a seed is
drawn from is a function of its place alone: so plans, rows, weights and memory are the same for any latencies.

Why nothing here can wait for ever. Three wait: planning for room, planning for learning, learning for seeds.
A seed that was planned waits for nobody but its endpoints, since learning takes in whatever comes while it waits.
- By arrival, learning waits for seeds that are out, and those come. Planning waits only while a seed is out, for
  with none out everything that was planned is learnt; it comes, and is learnt from within `linger_s`.
- In order, learning waits for the next `batch_size` seeds. Planning waits for learning only at the first seed of
  a batch, so all batches before it are planned in full, and come. It waits for room only while seeds are out, for
  a seed that has come and waits for its turn takes none; those come. At most `max_lag` + 1 batches are in memory.
A source that ends, or has no more money to give out, ends the stages; then what is there is learnt from.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How batches are formed: `batch_size` seeds, or fewer that came within `linger_s` of the first.

    `max_lag` counts batches; None sets no bound. `in_order` forms them in the order of planning and always whole;
    it needs a bound, and `linger_s` is of no account.

    Raises:
        ValueError: `in_order` without `max_lag`, or a number that is too small.
    """

    batch_size: int = 32
    linger_s: float = 2.0
    max_lag: int | None = None
    in_order: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.max_lag is not None and self.max_lag < 0):
            raise ValueError(f"batches of {self.batch_size} seeds, at most {self.max_lag} behind, cannot be")
        if self.in_order and self.max_lag is None:
            raise ValueError("batches in order need a bound on the lag: it says which weights a seed is drawn from")

    def may_plan(self, place: int, learnt: int) -> bool:
        """Whether the seed that is `place`-th to be planned, from 0, may be drawn now that so many are learnt from."""
        return self.max_lag is None or place // self.batch_size - self.max_lag <= learnt // self.batch_size

    def batches_to_show(self, place: int) -> int:
        """In order: how many batches the weights know that this seed is drawn from."""
        return max(0, place // self.batch_size - (self.max_lag or 0))


def whole_rounds(round_seeds: int) -> Cadence:
    """The cadence of `mode: round`: each round is planned from what all rounds before it taught, and from no more."""
    return Cadence(batch_size=round_seeds, max_lag=0, in_order=True)
