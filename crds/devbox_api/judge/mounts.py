"""What a code mount may name: a repository, a version of it, a place in the workspace.

Goes in: the texts of `spec.codeMounts`. Comes out: nothing, or a ValueError that says what to write instead. The CRD says the same by CEL;
the clone program and the client ask here. Pure.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Final

from .endpoints import Endpoint, parse_endpoint

MOST_REPOSITORY: Final = 512
"""Characters of a repository's address."""
MOST_PATH: Final = 255

HOST_FORM: Final = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[1-9][0-9]{0,4})?"
"""These forms are read by CEL's regular expressions, too. A host's name or its address of IPv4, and perhaps a port."""
REPOSITORY_FORM: Final = rf"^https://{HOST_FORM}(/([A-Za-z0-9._~+-]|%20)+)+$"
REF_FORM: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$"
REF_WRONG: Final = r"^HEAD$|\.\.|//|/\.|\./|[./]$|\.lock(/|$)"
"""What git takes for no name of a branch (git-check-ref-format), of what is left."""
PATH_FORM: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$"
DOTS: Final = r"/\.{1,2}(/|$)"

NOT_HTTPS: Final = "repositories are cloned over https alone; write an address such as https://github.com/org/repo"
USER_INFO: Final = (
    "holds a user or password (before '@'), which everybody reads who reads this object; take it out, and name a gateway that has the "
    "credential (codeMounts[].gateway)"
)
NOT_REPOSITORY: Final = (
    "not a repository's address; write https://, a host, and a path of letters, digits and -._~+ (a space as %20) without '/' at its end, "
    "'?' and '#', e.g. https://github.com/org/repo"
)
NOT_REF: Final = (
    "not a branch, tag or commit; write its name without refs/heads/, beginning with a letter or digit, of letters, digits and -._/, "
    "e.g. main, v1.2.0, feature/login"
)
NOT_PATH: Final = (
    "not a place in the workspace; write a folder's path below it, without '/' at its ends, '.' and '..', each part of letters, digits "
    "and -._+ and beginning with a letter or digit, e.g. app or services/app"
)


def check_repository(url: str) -> Endpoint:
    """Where it is, taken apart as a gateway's endpoint is. Raises ValueError."""
    if len(url) > MOST_REPOSITORY:
        raise ValueError(f"an address of more than {MOST_REPOSITORY} characters")
    if not url.startswith("https://"):
        raise ValueError(NOT_HTTPS)
    if "@" in url:
        raise ValueError(USER_INFO)
    if not re.fullmatch(REPOSITORY_FORM, url, re.ASCII) or re.search(DOTS, url):
        raise ValueError(NOT_REPOSITORY)
    try:
        return parse_endpoint(url)
    except ValueError:  # a port above 65535
        raise ValueError(NOT_REPOSITORY) from None


def check_ref(ref: str) -> None:
    """A branch, a tag or a commit. Raises ValueError."""
    if not re.fullmatch(REF_FORM, ref, re.ASCII) or re.search(REF_WRONG, ref):
        raise ValueError(NOT_REF)


def check_path(path: str) -> None:
    """Relative to the workspace, and in the one form that there is of it. Raises ValueError."""
    if len(path) > MOST_PATH or not re.fullmatch(PATH_FORM, path, re.ASCII):
        raise ValueError(NOT_PATH)


def check_places(paths: Iterable[str]) -> None:
    """No clone is in another's place, or within it. Raises ValueError."""
    parts = sorted(tuple(path.split("/")) for path in paths)
    # (Sorted by parts, what is within a folder comes directly behind it.)
    for one, other in itertools.pairwise(parts):
        if other[: len(one)] == one:
            raise ValueError(
                f"two code mounts in one place: {'/'.join(other)} is in {'/'.join(one)}; give each a folder of its own (codeMounts[].path)"
                if other != one
                else f"two code mounts have the path {'/'.join(one)}; give each a folder of its own (codeMounts[].path)"
            )


def mismatch(repository: Endpoint, endpoint: Endpoint) -> str | None:
    """Why a gateway does not lead to the repository; None: it does. (api.github.com is another host than github.com.)"""
    same_port = repository.port == endpoint.port or (repository.port, endpoint.port) == (443, 80)
    if repository.host != endpoint.host or not same_port:
        return f"the repository is at {repository.origin}, and the gateway leads to {endpoint.origin}"
    if not f"{repository.path}/".startswith(f"{endpoint.path}/"):
        return f"the repository is not below {endpoint.origin}{endpoint.path}, where the gateway leads"
    return None


def behind(url: str) -> str:
    """How addresses of repositories begin for which a gateway's own stands: `https://github.com/`. (What the endpoint has of a path the
    gateway joins once, and does not double.)"""
    return "/".join(url.split("/")[:3]) + "/"
