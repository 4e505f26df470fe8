"""What is answered: each way that the request could take, and what the gateway would say to it there."""

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """Whether it would pass, best first."""

    YES = "yes"
    AS_FAR_AS_SEEN = "yes, as far as can be seen"
    UNSEEN = "can't be seen"
    NO = "no"

    @property
    def passes(self) -> bool:
        """It is a yes of some sort."""
        return self in (Verdict.YES, Verdict.AS_FAR_AS_SEEN)


_ORDER = list(Verdict)


@dataclass(frozen=True)
class Way:
    """One way that the request could take."""

    verdict: Verdict
    by: str
    """`gateway ANTHROPIC` or `forward proxy`."""
    decided: str
    """What decided: a rule, a line of a policy, a grant."""
    code: str = ""
    """Of the gateway's refusal (docs/errors.md); empty for a yes."""
    reason: str = ""
    """The refusal's words."""
    leads: str = ""
    """Where it would go, without the query."""
    unseen: tuple[str, ...] = ()
    """What would have to be looked at besides, and can't."""


@dataclass(frozen=True)
class Answer:
    """All of it."""

    devbox: str
    """As namespace/name."""
    method: str
    url: str
    """Without the query."""
    ways: tuple[Way, ...]
    """The best first."""
    notes: tuple[str, ...] = ()
    """About the devbox, whatever is asked."""

    @property
    def verdict(self) -> Verdict:
        """Of the best way."""
        return self.ways[0].verdict if self.ways else Verdict.NO


def best_first(ways: list[Way]) -> tuple[Way, ...]:
    """Gateways before the forward proxy, where both say the same."""
    return tuple(sorted(ways, key=lambda way: _ORDER.index(way.verdict)))
