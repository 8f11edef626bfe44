"""The new instruction inside an instruction agent's reply.

Law: only wrapping that the model put around it is taken off: a label we asked it not to write, our own fence
copied, one pair of quotes around everything. What is inside is not touched.
"""

import re

_FENCE_LINE = re.compile(r"</?INSTRUCTION [0-9a-f]{12}>", re.IGNORECASE)

_LABEL = re.compile(
    r"""
    [#*_ ]*
    (?:(?:sure|certainly|of[ ]course)[!,.]?[ ]+)?
    (?:here(?:'s|\u2019s|[ ]is)[ ]+)?
    (?:(?:the|a|an|your|my)[ ]+)?
    (?:(?:new|rewritten|rephrased|reworded|revised|harder)[ ]+){0,2}
    (?:instruction|prompt)
    [#*_ ]*:[*_]*\s+
    """,
    re.IGNORECASE | re.VERBOSE,
)

_QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("**", "**"))


def clean_rewrite(text: str) -> str:
    """The instruction itself, stripped of blanks; empty where the reply holds none."""
    lines = text.strip().splitlines()
    while lines and _FENCE_LINE.fullmatch(lines[0].strip()):
        del lines[0]
    while lines and _FENCE_LINE.fullmatch(lines[-1].strip()):
        del lines[-1]
    bare = "\n".join(lines) + "\n"
    label = _LABEL.match(bare)
    return _unquote(bare[label.end() :].strip() if label else bare.strip())


def _unquote(text: str) -> str:
    """Take off one pair of quotes around the whole text; two quotations side by side are not one."""
    for opening, closing in _QUOTES:
        inner = text.removeprefix(opening).removesuffix(closing)
        wrapped = len(text) - len(inner) == len(opening) + len(closing)
        if wrapped and opening not in inner and closing not in inner:
            return inner.strip()
    return text
