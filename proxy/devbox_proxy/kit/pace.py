"""How often each peer may do something costly: at a rate, after a burst that is free. Who is too fast waits (`wait`) or is refused (`may`).

Goes in: peers and times (monotonic seconds). Comes out: how long each has to wait.
"""


class Pace:
    """One clock for each peer that was busy lately (the generic cell rate algorithm, as ATM Forum TM 4.1 has it)."""

    def __init__(self, rate: float, burst: int) -> None:
        """`rate`: times a second; `burst`: how many may come at once after a rest."""
        self._step = 1 / rate
        self._ahead = burst / rate - self._step
        self._due: dict[str, float] = {}
        """When a peer that kept to the rate would have done what it has done so far."""

    def wait(self, peer: str, present: float) -> float:
        """Seconds until the peer may; it is taken for done."""
        due = max(present, self._due.get(peer, 0.0))
        self._due[peer] = due + self._step
        return max(0.0, due - self._ahead - present)

    def may(self, peer: str, present: float) -> bool:
        """The same for whoever is refused in place of waiting: it is taken for done only if it may be."""
        due = max(present, self._due.get(peer, 0.0))
        if due - self._ahead > present:
            return False
        self._due[peer] = due + self._step
        return True

    def forget(self, present: float) -> None:
        """Those whose rest is over: they are as new."""
        for peer in [peer for peer, due in self._due.items() if due <= present]:
            del self._due[peer]

    def __len__(self) -> int:
        return len(self._due)
