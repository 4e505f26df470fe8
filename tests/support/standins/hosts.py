"""The registries' names: below one domain that nobody owns. Called by the pod and by the tests."""

from typing import Final

GIT: Final = "git.packages.example"
PYTHON: Final = "python.packages.example"
NPM: Final = "npm.packages.example"
CRATES: Final = "crates.packages.example"
GO: Final = "go.packages.example"
PAGE: Final = "www.packages.example"
ALL: Final = (GIT, PYTHON, NPM, CRATES, GO, PAGE)

PACKAGE: Final = "tiny-greeting"
"""Of that name there is one in every registry."""
MODULE: Final = "code.example/tiny-greeting"
"""Go's name for it."""
VERSION: Final = "0.1.0"
GREETING: Final = "hello from a package"
