"""What the stand-ins' model says to agents: which tool it takes of those that each one offers, and how it calls it."""

from collections.abc import Sequence

import pytest

from standin.agent import Say, Tool, Use, listing, next_step

from .agent_tools import ASKED, CLAUDE_CODE, CODEX, GEMINI_CLI, OPENCODE, PATCH, schema

FILE = {"file_path": "/tmp/name.txt", "content": "box\n"}


@pytest.mark.parametrize(
    ("tools", "command", "printed", "file"),
    [
        (CLAUDE_CODE, Use("Bash", {"command": "uname -n"}), "box", Use("Write", FILE)),
        (CODEX, Use("exec_command", {"cmd": "uname -n"}), "Exit code: 0\nOutput:\nbox\n", Use("apply_patch", PATCH)),
        (GEMINI_CLI, Use("run_shell_command", {"command": "uname -n"}), "Output: box\nError: (none)", Use("write_file", FILE)),
        (
            OPENCODE,
            Use("bash", {"command": "uname -n", "description": "as I was asked to"}),
            "box\n",
            Use("apply_patch", {"patchText": PATCH}),
        ),
    ],
    ids=["claude-code", "codex", "gemini-cli", "opencode"],
)
def test_a_command_is_run_then_a_file_is_written_then_it_is_told(
    tools: Sequence[Tool], command: Use, printed: str, file: Use
) -> None:
    assert next_step(ASKED, tools, []) == command
    assert next_step(ASKED, tools, [printed]) == file
    assert next_step(ASKED, tools, [printed, "written"]) == Say("Done. The command printed: box")


def test_a_command_may_be_wanted_as_a_list() -> None:
    shell = Tool("shell", schema("command", command="array"))
    assert next_step(ASKED, (shell, CODEX[1]), []) == Use("shell", {"command": ["sh", "-c", "uname -n"]})


@pytest.mark.parametrize(("asked", "tools"), [("Think of a title.", CLAUDE_CODE), (ASKED, ()), (ASKED, CLAUDE_CODE[:1])])
def test_what_is_no_such_job_is_not_taken_for_one(asked: str, tools: Sequence[Tool]) -> None:
    assert next_step(asked, tools, []) is None


def test_aider_gets_a_files_text_and_a_better_one_when_its_test_failed() -> None:
    asked = f"{ASKED}\nYou MUST use this *file listing* format:"
    assert listing(asked) == Say("/tmp/name.txt\n```\nnot known yet\n```\n")
    assert listing(f"{asked}\nAnd got this output:\n1c1\n< box\n---\n> not known yet") == Say("/tmp/name.txt\n```\nbox\n```\n")
    assert listing(ASKED) is None
