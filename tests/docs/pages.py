"""What the documents hold that can be tried: blocks of code, commands and links, each with its place."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench" / "README.md", *ROOT.glob("docs/**/*.md")])
SHELLS = {"", "bash", "sh", "console"}
ENDS = {"&&", "||", "|", ";", ">", ">>", "2>", "<", "&"}


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language (none if it is only indented), the HTML comment right before it, its place."""

    text: str
    language: str
    comment: str
    place: str


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments, as a reader would type it."""

    words: tuple[str, ...]
    place: str
    is_whole: bool
    """From a block, so every word is there; else a mention within a sentence."""

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)}"


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text())


def blocks(page: Path) -> Iterator[Block]:
    before = ""
    for token in tokens(page):
        if token.type in {"fence", "code_block"}:
            place = f"{page.relative_to(ROOT)}:{token.map[0] + 1 if token.map else 0}"
            yield Block(token.content, token.info.strip(), before, place)
        before = token.content.strip().removeprefix("<!--").removesuffix("-->").strip() * (token.type == "html_block")


def commands(page: Path) -> Iterator[Command]:
    """Every command in a block of a shell, and whatever of two words or more might be one within a sentence."""
    for block in blocks(page):
        if block.language in SHELLS:
            yield from (Command(words, block.place, is_whole=True) for words in typed(block.text))
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline" and len(child.content.split()) > 1:
                place = f"{page.relative_to(ROOT)}:{token.map[0] + 1 if token.map else 0}"
                yield Command(tuple(child.content.split()), place, is_whole=False)


def typed(text: str) -> Iterator[tuple[str, ...]]:
    """The commands of a block, one by one; what stands behind `&&`, a pipe or a comment sign is apart."""
    for line in text.replace("\\\n", " ").splitlines():
        if not re.match(r"\s*(\$ )?[\w./~]*(star-agents|python3?|pytest)\b", line) and "&& " not in line:
            continue
        words: list[str] = []
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word not in ENDS:
                words.append(word)
            elif words:
                yield tuple(words)
                words = []


def plain_names(page: Path) -> Iterator[str]:
    """Pages of ours that a sentence names without leading there."""
    for token in tokens(page):
        depth = 0
        for child in token.children or ():
            depth += child.nesting if child.type in {"link_open", "link_close"} else 0
            if child.type == "text" and not depth:
                yield from re.findall(r"[a-z][a-z/-]*\.md\b", child.content)


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures that lie in this repository."""
    for token in tokens(page):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if isinstance(target, str) and not re.match(r"[a-z]+:|#", target):
                yield target
