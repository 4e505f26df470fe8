"""The registries' names, below one domain that nobody owns, and those of the APIs."""

from typing import Final

GIT: Final = "git.packages.example"
PYTHON: Final = "python.packages.example"
NPM: Final = "npm.packages.example"
CRATES: Final = "crates.packages.example"
GO: Final = "go.packages.example"
PAGE: Final = "www.packages.example"
ALL: Final = (GIT, PYTHON, NPM, CRATES, GO, PAGE)
INDEX: Final = "pypi.org"
"""Of Python's packages, under the name that examples/python has."""

GEMINI: Final = "generativelanguage.googleapis.com"
AZURE: Final = "my-resource.openai.azure.com"
GITHUB: Final = "github.com"
GITHUB_API: Final = "api.github.com"
APIS: Final = (GEMINI, AZURE, GITHUB, GITHUB_API)
"""What examples/python calls, besides the APIs of the demo."""
KEY: Final = "example-key-"
"""Good keys begin so."""
OWNER: Final = "my-organisation"

PACKAGE: Final = "tiny-greeting"
"""Of that name there is one in every registry."""
HELD: Final = "held"
"""The git host's folder with another one, of which it says that it is there, and nothing more: a clone of it has no end."""
MODULE: Final = "code.example/tiny-greeting"
"""Go's name for it."""
VERSION: Final = "0.1.0"
GREETING: Final = "hello from a package"
