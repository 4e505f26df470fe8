"""What git is told by its environment."""

FIRST = "export GIT_CONFIG_COUNT=1; "
HEADER = FIRST + "export GIT_CONFIG_KEY_0=http.extraHeader; "
LOGINS = {
    "helper": FIRST
    + "export GIT_CONFIG_KEY_0=credential.helper; "
    + """export GIT_CONFIG_VALUE_0='!f() { echo username=x; echo "password=$GITHUB"; }; f'; """,
    "basic": HEADER + """export GIT_CONFIG_VALUE_0="Authorization: Basic $(printf 'x:%s' "$GITHUB" | base64 -w0)"; """,
    "bearer": HEADER + 'export GIT_CONFIG_VALUE_0="Authorization: Bearer $GITHUB"; ',
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
