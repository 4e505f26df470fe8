"""The two tools that an agent of these programs has, and what is asked of it: the first argument."""

import subprocess
import sys
from pathlib import Path

ASKED = sys.argv[1]


def run_shell_command(command: str) -> str:
    """Run a command in a shell; returns what it printed."""
    return subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=True).stdout


def write_file(file_path: str, content: str) -> str:
    """Write a file; returns what was done."""
    Path(file_path).write_text(content, encoding="utf-8")
    return f"wrote {file_path}"


TOOLS = {tool.__name__: tool for tool in (run_shell_command, write_file)}
