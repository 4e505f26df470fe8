"""All checks, in the order in which they are told: what everything rests on comes first.

Goes in: `Facts`. Comes out: a `Report`. Pure.
"""

from datetime import datetime

from . import installation, objects
from .facts import Facts, Hidden
from .report import Report, report


def examine(facts: Facts, now: datetime) -> Report:
    """Everything. Where the cluster has no such kinds, nothing else can be told of them."""
    first = [
        ("definitions", installation.definitions(facts)),
        ("namespace", installation.namespace(facts)),
        ("rights", installation.rights(facts)),
        ("clock", installation.clock(facts)),
    ]
    if not isinstance(facts.kinds, Hidden) and not facts.kinds:
        return report(first)
    return report(
        [
            *first,
            ("chart", installation.chart(facts)),
            ("gateway", installation.gateway(facts)),
            ("operator", installation.operator(facts, now)),
            ("authority", objects.authority(facts)),
            ("system", objects.told(objects.SYSTEM, "system", facts)),
            ("confinement", objects.told(objects.CONFINEMENT, "confinement", facts)),
            ("grants", objects.told(objects.GRANT, "grants", facts)),
            ("credentials", objects.told(objects.CREDENTIAL, "credentials", facts)),
            ("doubts", objects.told(objects.DOUBT, "doubts", facts)),
            ("readable", objects.told(objects.READABLE, "readable", facts)),
            ("endpoints", objects.told(objects.ENDPOINT, "endpoints", facts)),
            ("reachable", objects.told(objects.UNREACHABLE, "reachable", facts)),
            ("references", objects.told(objects.REFERENCE, "references", facts)),
            ("admission", objects.told(objects.ADMISSION, "admission", facts)),
            ("storage", objects.told(objects.STORAGE, "storage", facts)),
            ("code", objects.told(objects.CODE, "code", facts)),
            ("pods", objects.told(objects.PODS, "pods", facts)),
            ("expiry", objects.told(objects.EXPIRY, "expiry", facts)),
            ("images", objects.images(facts)),
        ]
    )
