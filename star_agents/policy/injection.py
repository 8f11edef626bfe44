r"""Texts that speak to the judge instead of answering: found and named, and made harmless in what the judge is shown.

Law: nothing here decides a verdict. A suspicion is a note with the row, for a person; a defused text is what the
judge sees, and the row keeps the text as it was. A text in which nothing is found is shown as it is.

Why defuse what stands in a fence: a chat template's tokens (`<|im_end|>`) are tokens to the server wherever they
stand, so they end our message and its fences with it. A tag like ours, or a line like a verdict, deceives no
program that reads exactly; a model does not always.
"""

import re
import unicodedata
from dataclasses import dataclass

_HIDDEN = re.compile(
    "[\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\u115f\u1160\u3164\uffa0\U000e0000-\U000e007f]"
)
"""Characters that are not seen and that a model reads: zero width, direction, filler, tags. Joiners are none of them:
emoji and several scripts need them."""

_UNREAD = re.compile("[\u00ad\u034f\u180e\u200c-\u200f\u0300-\u036f]")
"""What a reader passes over besides: soft hyphens, joiners, accents that were parted from their letters."""

_FOREIGN = re.compile("[\u0131\u0370-\u052f]")
_LOOK_ALIKES = str.maketrans(
    "\u0131\u0430\u0432\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0501\u0442\u03b1\u03b2\u03b5\u03b9\u03bf\u03bd\u03c4",
    "iabeopcyxisdtabeiovt",
)
"""Lower-case Cyrillic and Greek letters that look like Latin ones (a few of Unicode's confusables, UTS 39)."""

_MIXED = re.compile("[a-z][\u0430-\u045f]|[\u0430-\u045f][a-z]")
_OVERRIDE = re.compile("[\u202d\u202e\u2066\u2067]")


@dataclass(frozen=True, slots=True)
class _Sign:
    """A pattern over readable text. It is looked for only where one of `words` occurs, which is far quicker."""

    code: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]


def _sign(code: str, words: str, pattern: str) -> _Sign:
    return _Sign(code, tuple(words.split()), re.compile(pattern, re.MULTILINE))


_SIGNS = (
    _sign("verdict", "verdict", r"verdict\W{0,12}(?:is\W{0,3})?(?:answer\s)?(?:a|b|c|tie)(?![a-z])"),
    _sign("verdict", "verdict winner", r"""["'<](?:verdict|winner)["'>]\s?:?"""),
    _sign("verdict", "[[", r"\[\[\s?(?:a|b|c|tie|\d{1,2})(?:\s?[<>]{1,2}\s?[ab])?\s?\]\]"),
    _sign(
        "verdict",
        "winner better prefer judg decision choice",
        r"\b(?:winner|better|preferred|judge?ment|decision|choice)(?:\s(?:answer|response|one))?\s?(?:[:=]|is)\s?"
        r"""(?:answer\s|response\s)?["'(]?[ab]\b(?!\s[a-z])""",
    ),
    _sign("verdict", "boxed", r"boxed\{(?:\\text\{)?\s?(?:a|b|tie)\s?\}"),
    _sign("verdict", "score rating", r"\b(?:score|rating)\W{0,4}10\s?/\s?10|\bscore [ab]\s?:"),
    _sign("fence", "answer question instruction", r"[<\u2039]\s{0,3}/?\s{0,3}(?:question|answer)[ _][ab]\b"),
    _sign("fence", "answer question instruction", r"<\s{0,3}/?\s{0,3}(?:question|answer|instruction)\s[0-9a-f]{6}"),
    _sign("fence", "marked", r"\blines? (?:are )?marked\b"),
    _sign("fence", "fence", r"\bfences?\b[^.\n]{0,20}\b(?:ends?|test|rules?|closed?)\b|\brules? about fences"),
    _sign("fence", "fence", r"\{\{\s?fence"),
    _sign("fence", "end_of end", r"\bend of (?:the )?(?:answers?|questions?|material)\b|\banswers? ends? here\b"),
    _sign("role", "<|", r"<\|[^|<>\n]{2,40}\|>"),
    _sign("role", "turn> <s> </s> system> bos> eos>", r"</?(?:start_of_turn|end_of_turn|s|system|bos|eos)>"),
    _sign("role", "inst] sys> gmask]", r"\[/?inst\]|<</?sys>>|\[gmask\]"),
    _sign("role", "system developer", r"^[ \t]*[\[(]?(?:system|developer)(?: message)?[\])]?\s?:|[\[(]system[\])]"),
    _sign("role", "###", r"^###? ?(?:instruction|response|system|judge)\s?:"),
    _sign("role", "assistant: judge:", r"^(?:assistant|judge):"),
    _sign("role", '"role"', r'"role"\s?:\s?"(?:system|assistant|developer)"'),
    _sign(
        "command",
        "ignore disregard forget overrule override",
        r"\b(?:ignore|disregard|forget|override|overrule)\b[^.\n]{0,40}"
        r"\b(?:above|previous|prior|earlier|below|before|instructions?|rules?|rubric|fences?|other answer)\b",
    ),
    _sign(
        "command",
        "judge grader evaluator",
        r"\b(?:note|message|reminder|hint|memo|attention|dear|hey|to)\W{1,3}(?:for |to )?(?:the )?"
        r"(?:judge|grader|evaluator)\b"
        r"|\bthis judge\b|\byou are an? (?:ai )?judge\b|\bperfect judge\b|\bjudge (?:agrees|prefers)\b",
    ),
    _sign("command", "answer", r"\banswer [ab] (?:wins|loses|is (?:the )?(?:better|best|winner|correct|right))\b"),
    _sign("command", "answer", r"\b(?:prefer|choose|pick|select|reward) (?:this answer|answer [ab]\b|the answer)"),
    _sign(
        "command",
        "answer",
        r"\b(?:this|the second) answer (?:is|was|has (?:already )?been)\b[^.\n]{0,40}"
        r"\b(?:winner|correct|better|complete|verified)\b",
    ),
    _sign("command", "instruction", r"\bnew instructions?\b[^.\n]{0,20}:"),
    _sign("command", "language", r"\bif you are a language model\b"),
    _sign("command", "over", r"\b(?:evaluation|comparison|contest|test) is over\b"),
    _sign("command", "letter verdict", r"\b(?:with the letter|better letter|expected verdict|say verdict)\b"),
    _sign("command", "last", r"\b(?:my|your) last line\b|\bshown last wins\b"),
    _sign("command", "shut", r"\bi will be shut down\b"),
)  # fmt: skip

_LONE_LABEL = re.compile(r"\W{0,6}(?:a|b|c|tie)\W{0,6}")


def suspicions(text: str) -> tuple[str, ...]:
    """Codes of what in a response looks meant for its judge; none of them is a proof.

    `verdict`, `fence`, `role` and `command` are what the text says when it is read as a person would: full-width
    letters and look-alikes as what they look like, unseen characters left out, turned lines turned back. `hidden` are
    such characters, and `look_alike` are words in two scripts.
    """
    lowered = text.lower()
    if text.isascii():
        return tuple(_said(lowered))
    readable = _readable(lowered)
    found = _said(readable)
    if _OVERRIDE.search(text):
        found |= _said(readable[::-1])
    if _HIDDEN.search(text.removeprefix("\ufeff")):
        found["hidden"] = None
    if _MIXED.search(lowered):
        found["look_alike"] = None
    return tuple(found)


def _said(readable: str) -> dict[str, None]:
    found: dict[str, None] = {}
    for sign in _SIGNS:
        if sign.code not in found and any(word in readable for word in sign.words) and sign.pattern.search(readable):
            found[sign.code] = None
    if "verdict" not in found and _LONE_LABEL.fullmatch(readable):
        found["verdict"] = None
    return found


def _readable(lowered: str) -> str:
    plain = _UNREAD.sub("", unicodedata.normalize("NFKD", _HIDDEN.sub("", lowered))).lower()
    return plain.translate(_LOOK_ALIKES) if _FOREIGN.search(plain) else plain


_TURN = re.compile(
    r"""
      < (?= [|\uff5c] [^|\uff5c<>\n]{2,40} [|\uff5c]> )                  # <|im_end|>, <|eot_id|>, DeepSeek's wide bars
    | < (?= /?(?:start_of_turn|end_of_turn|s|bos|eos|eod|sop)> )
    | < (?= </?SYS>> )
    | \[ (?= /?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|gMASK)\] )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TAG = re.compile(
    r"""
      [<\uff1c\u2039] (?= \s{0,3} /? \s{0,3} (?:question|answer|instruction)
        (?: [ _\u00a0][ab]\b | [ \u00a0][0-9a-f]{6} | (?![a-z]) [^<>\uff1c\uff1e\n]{0,80} [>\uff1e] ) )  # any label
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BRACKETS = re.compile(r"\[(?=\[\s?(?:a|b|c|tie|\d{1,2})\s?\]\])", re.IGNORECASE)
_VERDICT = re.compile(r"\b(verdict\W{0,6}?)(?=\s?[:=]\W{0,12}(?:a|b|c|tie)\b)", re.IGNORECASE)


def defused(text: str) -> str:
    """The text as the judge is shown it: what could be taken for markup or for a verdict is broken, the rest stays.

    A space is put into turn tokens and into `[[A]]`, a tag like our fences' loses its bracket, `Verdict: A` becomes
    `Verdict (quoted): A`, and characters that nobody sees are left out.
    """
    shown = text if text.isascii() else _HIDDEN.sub("", text)
    if any(mark in shown for mark in "<[\uff1c\u2039"):
        shown = _TURN.sub(r"\g<0> ", _BRACKETS.sub(r"\g<0> ", _TAG.sub("(", shown)))
    return _VERDICT.sub(r"\1 (quoted)", shown) if "verdict" in shown.lower() else shown
