"""What runs in the devbox: fixed text for /bin/sh, with its builtins alone wherever that is possible; pure.

A command never stands in the argv of pods/exec: that is a URL, which load balancers cut off and the API server's audit log keeps. It goes
in by stdin, as lines: how many, then each one. (`read` takes a byte at a time, so that what follows is left for the command; `head -c` of
busybox would take more.)
"""

from typing import Final

from devbox_gateway.errors import InvalidError

MOST_COMMAND: Final = 120 << 10
"""Bytes: Linux takes 128 KiB as one argument."""

READ_LINES: Final = r"""
IFS= read -r n || exit 125
c= b=
while [ "$n" -gt 0 ]; do
  IFS= read -r l || exit 125
  n=$((n-1))
  b="$b$l"
  [ "$n" -gt 0 ] && b="$b
"
  [ "$((n%64))" -eq 0 ] && c="$c$b" b=
done
"""
"""Into $c. (By 64 lines: appending each one to all before it takes minutes for ten thousand.)"""
_ENTER: Final = r"""
cd "${HOME:-/}" 2>/dev/null || cd /
DEVBOX_GATEWAY_PATH=$PATH
export DEVBOX_GATEWAY_PATH
c="PATH=\$DEVBOX_GATEWAY_PATH\${PATH:+:\$PATH}; unset DEVBOX_GATEWAY_PATH; $c"
if command -v bash >/dev/null 2>&1; then set -- bash -lc "$c"; else set -- sh -lc "$c"; fi
"""
"""A login shell; but /etc/profile of Debian sets another PATH, so that the image's own is put before it again."""

LINGER: Final = "exec sleep 60"
LAST: Final = rf"""
code=$?
printf '\036%s %s\n' "$m" "$code" >&2
printf '\036%s %s\n' "$m" "$code"
while IFS= read -r l; do [ "$l" = "$m" ] && exit "$code"; done
[ -n "$k" ] && exit "$code"
{LINGER}
"""
"""Says on both streams that they are at their end, with the word $m and the exit code, and stays until it has heard that word on stdin, or,
where stdin is at its end, for a minute, unless it is ended before (ending.py)."""
_STAY: Final = "k=\ntrap 'k=1' HUP INT QUIT TERM USR1 USR2\n"
"""A signal for the group is the command's to heed: its exit code and its last words come through the script. (It is no signal that is
ignored: those the command would ignore, too.)"""

_CALL: Final = 'exec 3>&2 2>/dev/null\n(exec "$@" 2>&3 3>&- STDIN)\ncode=$?\nexec 2>&3 3>&-\n(exit "$code")'
"""(A shell says on its stderr how its command was ended, "Killed": that is no word of the command's.)"""
RUN: Final = f'echo "$$"{READ_LINES}{_ENTER}{_STAY}{_CALL.replace("STDIN", "</dev/null")}{LAST}'
"""The first line of its stdout is its process id, which is its group's too; the rest is the command's."""
RUN_ATTACHED: Final = f'echo "$$"{READ_LINES}{_ENTER}{_STAY}{_CALL.replace("STDIN", "")}{LAST}'
"""The same; what follows on stdin is the command's."""
RUN_IN_TERMINAL: Final = f"""
echo "$$"
stty rows "$2" cols "$3" 2>/dev/null
TERM=$4
export TERM
f="${{HOME:-/tmp}}/.devbox-gateway/exec/$1"
{{{READ_LINES}}} <"$f" || exit 125
rm -f "$f"
{_ENTER}exec "$@"
"""
"""The same in a terminal: its rows and columns, its kind, and the name of a file that holds the command. (By stdin it would be echoed.)"""
SIGNAL: Final = r"""
kill -"$1" "-$2" 2>/dev/null || kill -"$1" -- "-$2" 2>/dev/null || kill -"$1" "$2" 2>/dev/null
"""
"""A signal and a group."""
LET_GO: Final = 'kill -"$1" "$2" 2>/dev/null\n'
"""The same, for the script alone: what the command has left running goes on."""
_END: Final = f"""{SIGNAL}
tries=0
while [ "$tries" -lt 50 ]; do
  kill -0 "-$2" 2>/dev/null || kill -0 -- "-$2" 2>/dev/null || exit 0
  LET_GO
  sleep 0.1
  tries=$((tries+1))
done
set -- KILL "$2"
{SIGNAL}"""
END: Final = _END.replace("LET_GO", 'kill -TERM "$2" 2>/dev/null')
"""The same, and KILL where it is there after 5 s. (The script itself may wait for a word that nobody will say.)"""
END_IN_TERMINAL: Final = _END.replace("  LET_GO\n", "")
"""Where there is no script left: the command has taken its place."""


_FOLDER: Final = 'd="${HOME:-/tmp}/.devbox-gateway/exec/$1"\n'
MOST_SPOOL: Final = 256 << 20
"""Bytes of one stream of a command in the background; then the command waits."""
KEPT_SECONDS: Final = 3600
"""For which what it printed stays after its end."""

START: Final = f"""
umask 077
{_FOLDER}attached=$2
{READ_LINES}{_ENTER}
mkdir -p "$d" && mkfifo "$d/o" "$d/e" || exit 125
size() {{ stat -c %s "$1" 2>/dev/null || wc -c <"$1"; }}
spool() {{
  : >"$2"
  exec <"$1"
  while :; do
    before=$(size "$2")
    if [ "$before" -ge {MOST_SPOOL} ]; then sleep 1; continue; fi
    dd bs=65536 count=256 >>"$2" 2>/dev/null
    [ "$(size "$2")" = "$before" ] && return
  done
}}
if [ "$attached" = attached ]; then
  mkfifo "$d/in" || exit 125
  (exec sleep 2147483647) >"$d/in" 2>/dev/null </dev/null &
  echo "$!" >"$d/holder"
else
  ln -s /dev/null "$d/in"
fi
(
  spool "$d/o" "$d/out" & first=$!
  spool "$d/e" "$d/err" & second=$!
  if command -v setsid >/dev/null 2>&1; then setsid "$@" <"$d/in" >"$d/o" 2>"$d/e" &
  else "$@" <"$d/in" >"$d/o" 2>"$d/e" & fi
  echo "$!" >"$d/pid"
  wait "$!"
  code=$?
  tries=0
  while [ "$tries" -lt 20 ] && {{ kill -0 "$first" || kill -0 "$second"; }} 2>/dev/null; do sleep 0.1; tries=$((tries+1)); done
  echo "$code" >"$d/part" && mv "$d/part" "$d/status"
  [ -f "$d/holder" ] && kill "$(cat "$d/holder")"
  sleep {KEPT_SECONDS}
  kill "$first" "$second"
  rm -rf "$d"
) >/dev/null 2>&1 </dev/null &
tries=0
while [ ! -s "$d/pid" ] && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries+1)); done
[ -s "$d/pid" ]
"""
"""Start a command in the background: id, and `attached` where something is to be written to its stdin."""

FOLLOW: Final = f"""
{_FOLDER}o=$2 e=$3
[ -d "$d" ] || exit 66
size() {{ stat -c %s "$1" 2>/dev/null || wc -c <"$1"; }}
while :; do
  over=
  [ -f "$d/status" ] && over=1
  s=$(size "$d/out")
  [ "$s" -gt "$o" ] && {{ tail -c "+$((o+1))" "$d/out" | head -c "$((s-o))"; o=$s; }}
  s=$(size "$d/err")
  [ "$s" -gt "$e" ] && {{ tail -c "+$((e+1))" "$d/err" | head -c "$((s-e))" >&2; e=$s; }}
  [ -n "$over" ] && exit "$(cat "$d/status")"
  sleep 0.2
done
"""
"""What it prints, from the places on that are given, until its end; its exit code. 66: there is no such command (any more)."""

STATE: Final = f"""
{_FOLDER}[ -d "$d" ] || exit 66
[ -f "$d/status" ] && exit 10
exit 11
"""
GIVE: Final = f"""
{_FOLDER}[ -d "$d" ] || exit 66
[ -f "$d/status" ] && exit 10
[ -p "$d/in" ] || exit 12
kill -0 "$(cat "$d/holder")" 2>/dev/null || exit 13
head -c "$2" >"$d/in"
"""
"""So many bytes of this stdin, for the command's. 10: it has ended; 12: it has no stdin; 13: its stdin was ended."""
GIVE_END: Final = f"""
{_FOLDER}[ -d "$d" ] || exit 66
[ -p "$d/in" ] || exit 12
kill "$(cat "$d/holder")" 2>/dev/null
exit 0
"""
KILL: Final = f"""
{_FOLDER}[ -d "$d" ] || exit 66
[ -f "$d/status" ] && exit 0
p=$(cat "$d/pid")
kill -KILL "-$p" 2>/dev/null && exit 0
end() {{
  for f in /proc/[0-9]*/stat; do
    IFS= read -r l <"$f" 2>/dev/null || continue
    set -- ${{l##*) }}
    [ "$2" = "$at" ] && {{ c=${{f#/proc/}}; all="$all ${{c%/stat}}"; }}
  done
}}
all=$p done=
while :; do
  at=
  for c in $all; do case " $done " in *" $c "*) ;; *) at=$c; break ;; esac; done
  [ -n "$at" ] || break
  done="$done $at"
  end
done
kill -KILL $all 2>/dev/null
exit 0
"""
"""All processes of the command: its group, or, without setsid in the image, its descendants."""


def argv(script: str, *arguments: str) -> list[str]:
    """For pods/exec."""
    return ["/bin/sh", "-c", script, "sh", *arguments]


def is_sendable(text: str) -> bool:
    """Whether it is UTF-8, or bytes of a file's name that Python could not read as that."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def framed_text(text: str) -> bytes:
    """Any text as the scripts read it: how many lines, then each one."""
    lines = text.encode("utf-8", "surrogateescape").split(b"\n")
    return b"\n".join((str(len(lines)).encode(), *lines, b""))


def framed(command: str) -> bytes:
    """A command, likewise. Raises InvalidError."""
    if not isinstance(command, str) or not command.strip():
        raise InvalidError("command", "write a command for a shell, e.g. 'ls -l'")
    if not is_sendable(command):
        raise InvalidError("command", "no text that UTF-8 has: half a surrogate pair is in it")
    if "\0" in command:
        raise InvalidError("command", "a command can't hold a NUL byte; write what has one into a file: devbox.file.upload(…)")
    if len(command.encode("utf-8", "surrogateescape")) > MOST_COMMAND:
        raise InvalidError(
            "command", f"longer than {MOST_COMMAND >> 10} KiB; write it into a file (devbox.file.write) and run that"
        )
    return framed_text(command)
