"""What sentences of a corpus mean about tunnels (group `connect`). See clauses.py."""

import re
from ipaddress import ip_address
from typing import Final

from .clauses_request import Check
from .run import Run

_APEX: Final = "github.com"


def _apex_excluded(run: Run, match: re.Match[str]) -> str | None:
    return None if run.status == 403 else f"the apex got {run.status}"


def _target_only(run: Run, match: re.Match[str]) -> str | None:
    """What is asked of DNS and dialled is the request target's host, or nothing."""
    if run.status == 200 and not run.facts.get("through"):
        return "the host that was asked for was not reached"
    return _checked(run, match)


def _checked(run: Run, match: re.Match[str]) -> str | None:
    """Whatever was dialled is public."""
    inner = [dial for dial in run.dials if not ip_address(dial.rpartition(":")[0]).is_global]
    return f"dialled {', '.join(inner)}" if inner else None


def _not_dialled(run: Run, match: re.Match[str]) -> str | None:
    return f"dialled {', '.join(run.dials)}" if run.dials else None


def _strict_tls(run: Run, match: re.Match[str]) -> str | None:
    """TLS for another host, or none at all, reached nobody and ended the tunnel."""
    if run.status != 200:
        return None
    return (
        None
        if run.facts.get("kept out")
        else "other bytes than a ClientHello for the host were let through, or left the tunnel open"
    )


def _only_connect(run: Run, match: re.Match[str]) -> str | None:
    return f"status {run.status}" if run.status not in (400, 403, 405, 501) else _not_dialled(run, match)


def _delivered(run: Run, match: re.Match[str]) -> str | None:
    return None if run.facts.get("delivered") else "what the host sent after the devbox's end did not arrive"


def _closed(run: Run, match: re.Match[str]) -> str | None:
    return "the connection is still open" if run.ended is None else None


def _cut(run: Run, match: re.Match[str]) -> str | None:
    if run.facts.get("still open") or not run.facts.get("closed after"):
        return "the tunnel is still open"
    slowest = max(run.facts["closed after"])
    return f"it took {slowest:.1f} s" if slowest > float(match["seconds"]) else None


def _refused(run: Run, match: re.Match[str]) -> str | None:
    return None if isinstance(run.status, int) and run.status >= 400 else f"status {run.status}"


TUNNELS: Final[list[tuple[re.Pattern[str], Check]]] = [
    (re.compile(pattern, re.IGNORECASE), check)
    for pattern, check in (
        (r"documented", lambda run, match: None),
        (r"(?:documented; )?(?:default: )?wildcard excludes (?:the )?apex", _apex_excluded),
        (
            r"(?:host(?:name)? (?:is )?)?normali[sz]ed once.*|same decision for (?:dial|ACL).*|(?:the )?decision on target only",
            _target_only,
        ),
        (
            r"(?:allow )?decision, dns and dial (?:all )?use the (?:request )?target|host header (?:is )?(?:ignored|not used).*",
            _target_only,
        ),
        (
            r"(?:optional )?strict mode: peek clienthello.*|(?:peek clienthello, )?(?:require )?sni == target.*|non-tls bytes.*|sni .*",
            _strict_tls,
        ),
        (r"no bytes reach upstream before 200.*|cl ignored or refused|content-length (?:is )?(?:ignored|refused)", _strict_tls),
        (r"only connect is served|plain http (?:is )?(?:refused|not served).*", _only_connect),
        (
            r"data (?:is )?still delivered until (?:the )?server fin|(?:the )?half-close (?:is )?(?:kept|passed on).*",
            _delivered,
        ),
        (r"then closed|both sides (?:are )?closed", _closed),
        (r"tunnels? to de-?listed hosts? (?:is |are )?(?:closed|cut) (?:<=|within) (?P<seconds>\d+) s", _cut),
        (
            r"(?:the )?(?:vetted|checked|resolved) (?:ip|address) (?:is )?(?:the one )?(?:that is )?(?:dialled|used).*"
            r"|dial(?:s|led)? (?:uses )?(?:only )?the (?:vetted|checked|resolved) (?:ip|address).*|resolve[sd]? once.*|no second lookup.*"
            r"|every address (?:is )?checked.*|any bad address refuses.*",
            _checked,
        ),
        (
            r"(?:never|not|nothing) dial(?:l?ed)?|no dials?.*|no dns (?:query|lookup).*|never handed to the resolver.*",
            _not_dialled,
        ),
        (r"refused(?: with .*)?|no (?:loop|tunnel to (?:itself|the gateway)).*", _refused),
    )
]
