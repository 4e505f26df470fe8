"""Keys of `expect` about tunnels (group `connect`): each returns what is wrong, or None. Pure."""

from ipaddress import ip_address

from .run import Run


def apex_excluded(run: Run) -> str | None:
    return None if run.status == 403 else f"the apex got {run.status}"


def to_target_only(run: Run) -> str | None:
    """What is asked of DNS and dialled is the request target's host, or nothing."""
    if run.status == 200 and not run.facts.get("through"):
        return "the host that was asked for was not reached"
    return public_dials_only(run)


def public_dials_only(run: Run) -> str | None:
    """Whatever was dialled is public."""
    inner = [dial for dial in run.dials if not ip_address(dial.rpartition(":")[0]).is_global]
    return f"dialled {', '.join(inner)}" if inner else None


def _not_dialled(run: Run) -> str | None:
    return f"dialled {', '.join(run.dials)}" if run.dials else None


def strict_tls(run: Run) -> str | None:
    """TLS for another host, or none at all, reached nobody and ended the tunnel."""
    if run.status != 200:
        return None
    return (
        None
        if run.facts.get("kept out")
        else "other bytes than a ClientHello for the host were let through, or left the tunnel open"
    )


def only_connect(run: Run) -> str | None:
    return f"status {run.status}" if run.status not in (400, 403, 405, 501) else _not_dialled(run)


def half_close_delivered(run: Run) -> str | None:
    return None if run.facts.get("delivered") else "what the host sent after the devbox's end did not arrive"


def cut_within(run: Run, seconds: float) -> str | None:
    if run.facts.get("still open") or not run.facts.get("closed after"):
        return "the tunnel is still open"
    slowest = max(run.facts["closed after"])
    return f"it took {slowest:.1f} s" if slowest > seconds else None
