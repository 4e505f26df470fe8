"""What git is told by its environment, as docs/clients.md has it: all of it counts for the gateway's address alone, and no other host sees
the token."""


def _told(*settings: tuple[str, str]) -> str:
    """`key` and `value` as words of a shell, which puts the devbox's variables in."""
    lines = [
        f"export GIT_CONFIG_KEY_{number}={key} GIT_CONFIG_VALUE_{number}={value}; "
        for number, (key, value) in enumerate(settings)
    ]
    return f"export GIT_CONFIG_COUNT={len(lines)}; " + "".join(lines)


INSTEAD = ('"url.$GITHUB_URL/.insteadOf"', "https://github.com/")
_PASSWORD = """'!f() { test "$1" = get && printf "username=x\\npassword=%s\\n" "$GITHUB"; }; f'"""
_HEADER = '"http.$GITHUB_URL/.extraHeader"'
HELPER = ('"credential.$GITHUB_URL.helper"', _PASSWORD)
LOGINS = {
    "helper": _told(INSTEAD, HELPER),
    "basic": _told(INSTEAD, (_HEADER, """"Authorization: Basic $(printf 'x:%s' "$GITHUB" | base64 -w0)\"""")),
    "bearer": _told(INSTEAD, (_HEADER, '"Authorization: Bearer $GITHUB"')),
}
"""How git gets the token: when it is asked for a password, or at once. In the environment, so that no list of processes shows it."""
SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@devbox.test",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@devbox.test",
}
