"""The verbs: one line each. A verb is a click command in a module of verbs/, which is imported when it is used.

To add one: write `verbs/<module>.py` with a function under `@verb(...)` (verb.py), and name it here.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Entry:
    """Where a verb's command is, and what --help says of it."""

    place: str
    """module:attribute, within verbs/."""
    help: str
    section: str


BEGIN, WORK, MANAGE, OTHER = "Begin", "Devboxes", "What they use", "More"
VERBS: Final = {
    "init": Entry("init:init", "From a key to a devbox that may use its API", BEGIN),
    "run": Entry("execute:run", "Make a devbox, run a command in it, and delete it", WORK),
    "create": Entry("life:create", "Make a devbox, and wait until it is ready", WORK),
    "ls": Entry("look:ls", "List devboxes", WORK),
    "get": Entry("look:get", "Show one devbox", WORK),
    "exec": Entry("execute:execute", "Run a command in a devbox", WORK),
    "shell": Entry("execute:shell", "Open a shell in a devbox", WORK),
    "logs": Entry("logs:logs", "Print what a devbox's command has printed", WORK),
    "cp": Entry("cp:cp", "Copy a file or folder, in or out", WORK),
    "wait": Entry("life:wait", "Wait until devboxes are ready, suspended, or gone", WORK),
    "suspend": Entry("life:suspend", "Take devboxes' pods away, and keep the devboxes", WORK),
    "resume": Entry("life:resume", "Give devboxes that are suspended a new pod each", WORK),
    "keep-alive": Entry("life:keep_alive", "Have devboxes' time to live begin anew", WORK),
    "restart": Entry("life:restart", "Give devboxes a new pod each", WORK),
    "rm": Entry("life:rm", "Delete devboxes", WORK),
    "gateway": Entry("gateway:gateway", "Where an API lives, and how its credential goes in", MANAGE),
    "secret": Entry("secret:secret", "Credentials that the gateway puts into requests", MANAGE),
    "policy": Entry("policy:policy", "Which other hosts devboxes may reach", MANAGE),
    "audit": Entry("audit:audit", "Who called what, as the gateway's log has it", OTHER),
    "doctor": Entry("doctor:doctor", "What is wrong here, and what to do about it", OTHER),
    "explain": Entry("explain:explain", "Would a request pass, and why", OTHER),
    "completion": Entry("completion:completion", "Print what bash, zsh or fish needs for completion", OTHER),
}
