"""The tools that agents offer a model, as they name them."""

from typing import Any

from standin.agent import Tool

ASKED = "<note>today is Tuesday</note>\nRun `uname -n` and write what it prints into `/tmp/name.txt`."


def schema(*required: str, **types: str) -> dict[str, Any]:
    names = {**dict.fromkeys(required, "string"), **types}
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in names.items()}, "required": list(required)}


CLAUDE_CODE = (Tool("Bash", schema("command", description="string")), Tool("Write", schema("file_path", "content")))
CODEX = (Tool("exec_command", schema("cmd", workdir="string")), Tool("apply_patch", None))
GEMINI_CLI = (Tool("run_shell_command", schema("command")), Tool("write_file", schema("file_path", "content")))
OPENCODE = (Tool("bash", schema("command", "description")), Tool("apply_patch", schema("patchText")))
PATCH = "*** Begin Patch\n*** Add File: /tmp/name.txt\n+box\n*** End Patch\n"
