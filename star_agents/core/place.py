"""What a call takes up of its endpoint after its answer came, until whoever asked has recorded it.

Law: calls that are out and answers that a crash would lose are together never more than the endpoint's
`concurrency`. So a crash wastes at most that many calls.
"""

from collections.abc import Callable


class Place:
    """One call's place; whoever asks makes it, hands it to `Completer.complete`, and leaves it in the end.

    It is empty until the endpoint says that it is kept, and again once it was left.
    """

    __slots__ = ("_give_back",)

    def __init__(self) -> None:
        self._give_back: Callable[[], None] | None = None

    def keep(self, give_back: Callable[[], None]) -> None:
        """Said by the endpoint: the call has ended, and counts against the limit until `give_back` is called."""
        self._give_back = give_back

    @property
    def is_kept(self) -> bool:
        """True between the two."""
        return self._give_back is not None

    def take_up(self) -> None:
        """Said by the endpoint: the same call is sent once more, and counts as that from now on."""
        self._give_back = None

    def leave(self) -> None:
        """Said by whoever asked: the reply is recorded, or of no use to anybody. Again it does nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()
