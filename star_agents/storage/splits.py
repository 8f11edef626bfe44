"""Which rows are for testing: decided by the seed alone. Pure.

Law: a seed's half depends on its own name and the share, never on the order of the rows, on the other seeds, or on how
far the run has come; and seeds with one name are in one half. A larger share only adds to the smaller one's test rows.
"""

from hashlib import blake2b
from typing import Literal

Split = Literal["train", "test"]

_HASH_BYTES = 8


def split_of(key: str, test_share: float) -> Split:
    """The half that a seed with this name is in."""
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).digest()
    return "test" if int.from_bytes(digest) < test_share * 256**_HASH_BYTES else "train"
