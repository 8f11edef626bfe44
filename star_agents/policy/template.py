"""One prompt template: Jinja in a sandbox, with an optional system part.

Law: a template sees its variables and nothing else: no files, no other templates, no chance, no Python
behind the values. Whatever is wrong with it is a `ConfigError` that names the template and the line.

A line `---` parts the system message from the user message; without one the whole text is the user's. The
parts are told apart before rendering, so nothing that is rendered into them can move the border.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from star_agents.core.calls import Message
from star_agents.core.errors import ConfigError

BORDER = "---"

_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What rendering may raise: a template is a small program, and its bugs are its author's."""

_SOURCE_NAME = "<template>"
"""What Jinja calls the file of a template that came from a string."""


def _sandbox() -> SandboxedEnvironment:
    sandbox = SandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # prompts are plain text; nothing here is ever HTML
        trim_blocks=True,
        lstrip_blocks=True,
        loader=DictLoader({}),
    )
    sandbox.globals.clear()
    del sandbox.filters["random"]
    return sandbox


_SANDBOX = _sandbox()


@dataclass(frozen=True, slots=True)
class _Part:
    """One message's template; `offset` is the number of lines of the file above it."""

    role: str
    offset: int
    template: Template
    variables: frozenset[str]
    """What it uses; where that is nothing, it says the same every time."""


class PromptTemplate:
    """A compiled template, rendered into a user message and, where it has that part, a system message before it."""

    def __init__(self, name: str, text: str) -> None:
        """Compile `text`; `name` is what errors call it.

        Raises:
            ConfigError: it is not a Jinja template, or has no text for the user.
        """
        self._name = name
        lines = text.splitlines()
        border = next((number for number, line in enumerate(lines) if line.strip() == BORDER), -1)
        parts = [("system", 0, lines[: max(border, 0)]), ("user", border + 1, lines[border + 1 :])]
        self._parts = [
            self._compile(role, offset, "\n".join(part))
            for role, offset, part in parts
            if any(line.strip() for line in part)
        ]
        self._said: dict[str, Message] = {}
        """Messages of parts without variables, by role."""
        self.variables = frozenset[str]().union(*(part.variables for part in self._parts))
        """What rendering needs to be given."""
        if not self._parts or self._parts[-1].role != "user":
            raise ConfigError(f"prompt {name}, line {len(lines)}: there is no text for the user message")

    def render(self, variables: Mapping[str, object]) -> tuple[Message, ...]:
        """The messages, system first. The text of a variable enters as it is.

        Raises:
            ConfigError: the template uses what it is not given, or fails.
        """
        return tuple(self._said.get(part.role) or self._message(part, variables) for part in self._parts)

    def _compile(self, role: str, offset: int, text: str) -> _Part:
        try:
            used = find_undeclared_variables(_SANDBOX.parse(text))
            compiled = _SANDBOX.from_string(text)
            compiled.globals = {}  # there are none, and Jinja takes a fifth of a rendering to find that out
            return _Part(role, offset, compiled, frozenset(used))
        except TemplateSyntaxError as error:
            raise self._error(offset + error.lineno, error) from error

    def _message(self, part: _Part, variables: Mapping[str, object]) -> Message:
        message = Message(part.role, self._render(part, variables))
        if not part.variables:
            self._said[part.role] = message
        return message

    def _render(self, part: _Part, variables: Mapping[str, object]) -> str:
        try:
            return part.template.render(variables)
        except _FAULTS as error:
            raise self._error(part.offset + _template_line(error.__traceback__), error) from error

    def _error(self, line: int, cause: Exception) -> ConfigError:
        return ConfigError(f"prompt {self._name}, line {line}: {cause}")


def _template_line(trace: TracebackType | None) -> int:
    """The line the template had reached; Jinja writes its lines into the traceback."""
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _SOURCE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
