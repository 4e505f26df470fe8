"""The code blocks of README.md, docs/ and examples/: what a reader pastes.

Goes in: a page and a language. Comes out: blocks, and the objects in them.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

PROJECT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HERE_DOCUMENT: Final = re.compile(r"<<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """In their order."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return [content for found, content in _BLOCK.findall(text) if found == language]


def here_documents(script: str) -> list[str]:
    """What a script gives to a command."""
    return _HERE_DOCUMENT.findall(script)


def objects(text: str) -> list[dict[str, Any]]:
    """Of Kubernetes, in YAML; nothing where it is something else."""
    found = list(yaml.safe_load_all(text))
    return found if all(isinstance(one, dict) and {"kind", "metadata"} <= one.keys() for one in found) else []


def readme_objects() -> str:
    """The one YAML that README.md shows."""
    (text,) = [block for block in blocks("README.md", "yaml") if objects(block)]
    return text


def first_devbox() -> str:
    """The script of docs/install.md, "A first devbox"."""
    (script,) = [block for block in blocks("docs/install.md", "sh") if "create secret generic" in block]
    return script


def guards_removal() -> str:
    """The script of docs/install.md that takes away, in the end, what confined devboxes."""
    (script,) = [block for block in blocks("docs/install.md", "sh") if "devbox-gateway.io/guard" in block]
    return script
