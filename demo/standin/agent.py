"""What the model says to an agent at work: run a command, write what it printed into a file, say so.

Goes in: what the person asked for, the tools that the agent offers, what they gave so far. Comes out: the next step, in no API's words.
Pure. The job is a sentence that a model would understand, too: "Run `uname -n` and write what it prints into `/tmp/name.txt`."
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

JOB: Final = re.compile(r"Run `([^`]+)` and write what it prints into `([^`]+)`")
DONE: Final = "Done. The command printed: {}"
ECHOED: Final = 500
"""Characters: a stream has a pause behind each word, and agents say a lot."""
SHELLS: Final = ("Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell")
"""Claude Code's, opencode's, Gemini CLI's, Codex's; the first that is offered is taken."""
WRITERS: Final = ("Write", "write", "write_file", "apply_patch")
COMMAND_FIELDS: Final = ("command", "cmd")
FILE_FIELDS: Final = ("file_path", "filePath", "path")
CONTENT_FIELDS: Final = ("content", "contents", "text")
PATCH_FIELDS: Final = ("input", "patchText")
_OUTPUT: Final = re.compile(r"Output:\s*(\S.*)")
"""Codex and Gemini CLI tell what a command printed with words around it."""
_DIFFERS: Final = re.compile(r"^< (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Tool:
    """One that the agent offers."""

    name: str
    schema: Mapping[str, Any] | None
    """JSON schema of its arguments; None for a tool that takes a plain text."""


@dataclass(frozen=True)
class Say:
    """The answer's text; the turn ends."""

    text: str


@dataclass(frozen=True)
class Use:
    """A tool is to be called."""

    tool: str
    arguments: Mapping[str, Any] | str
    """A text for a tool without a schema."""


Step = Say | Use


def next_step(asked: str, tools: Sequence[Tool], results: Sequence[str]) -> Step | None:
    """The step after `results`, oldest first; None where nothing of the kind was asked for, or there is no tool for it."""
    job = JOB.search(asked)
    offered = {tool.name: tool for tool in tools}
    shell = next((offered[name] for name in SHELLS if name in offered), None)
    writer = next((offered[name] for name in WRITERS if name in offered), None)
    if job is None or shell is None or writer is None:
        return None
    command, file = job.groups()
    if not results:
        return Use(shell.name, _arguments(shell, {COMMAND_FIELDS: command}))
    printed = _printed(results[0])
    if len(results) == 1:
        if writer.name == "apply_patch":
            return Use(writer.name, _patch(writer, file, printed))
        return Use(writer.name, _arguments(writer, {FILE_FIELDS: file, CONTENT_FIELDS: f"{printed}\n"}))
    return Say(DONE.format(printed))


def listing(said: str) -> Say | None:
    """The answer to aider, which offers no tools: the file as its text has to look, `said` being all that it said. The command is its test,
    and what that printed stands behind "< ", as diff has it; None where no file's text is asked for."""
    job = JOB.search(said)
    if job is None or "*file listing*" not in said:
        return None
    printed = _DIFFERS.findall(said)
    return Say(f"{job[2]}\n```\n{printed[-1] if printed else 'not known yet'}\n```\n")


def echo(owner: str, said: str) -> Say:
    """The answer to whatever else is asked: whose key it was, and the beginning of what was said."""
    return Say(f"Hello {owner}, you said: {said[:ECHOED]}")


def _printed(result: str) -> str:
    told = _OUTPUT.search(result)
    lines = [line.strip() for line in result.splitlines() if line.strip()]
    return told[1].strip() if told else (lines or ["nothing"])[0]


def _arguments(tool: Tool, values: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    """Each value under the first of its names that the schema has; what else is required is filled in."""
    schema = tool.schema or {}
    known = schema.get("properties") or {}
    made: dict[str, Any] = {}
    for names, value in values.items():
        name = next((name for name in names if name in known), names[0])
        made[name] = value if (known.get(name) or {}).get("type") != "array" else ["sh", "-c", value]
    for name in schema.get("required") or ():
        made.setdefault(name, "as I was asked to")
    return made


def _patch(tool: Tool, file: str, line: str) -> dict[str, Any] | str:
    patch = f"*** Begin Patch\n*** Add File: {file}\n+{line}\n*** End Patch\n"
    return patch if tool.schema is None else _arguments(tool, {PATCH_FIELDS: patch})
