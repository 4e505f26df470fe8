"""Which of the machine's iptables rules are the cluster's: those of kube-router, kubelet and CNI.

Pure. Goes in: what iptables-save prints. Comes out: what iptables-restore is to be told, or what is there, as text.
"""

import itertools
import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

CHAIN_PREFIXES: Final = ("KUBE-", "CNI-")
SET_PREFIXES: Final = ("KUBE-", "kube-router-", "inet6:KUBE-", "inet6:kube-router-")
COMMENT_PREFIXES: Final = ("KUBE-ROUTER ", "kube-router ")
"""kube-router's rules in the kernel's own chains: one in each of INPUT, FORWARD, OUTPUT leads to no chain of its, but accepts by a mark."""
_NAMED_BY: Final = {"-j": CHAIN_PREFIXES, "-g": CHAIN_PREFIXES, "--match-set": SET_PREFIXES, "--comment": COMMENT_PREFIXES}


class Rule(NamedTuple):
    """A line of iptables-save that adds a rule."""

    table: str
    chain: str
    text: str
    """What follows the chain's name, quoted as iptables quotes it."""

    def __str__(self) -> str:
        return f"-t {self.table} -A {self.chain} {self.text}"


def removal(saved: str) -> str:
    """Input for `iptables-restore --noflush` that takes the cluster's rules and chains away; empty where there are none.

    Nothing else is named in it, so that other people's rules keep their places and counters.
    """
    script = []
    for table, chains in _chains(saved).items():
        own = [chain for chain in chains if chain.startswith(CHAIN_PREFIXES)]
        rules = [rule for rule in _rules(saved) if rule.table == table and rule.chain not in own and _is_ours(rule)]
        if own or rules:
            lines = [
                f"*{table}",
                *(f"-D {rule.chain} {rule.text}" for rule in rules),
                *(f":{chain} - [0:0]" for chain in own),  # (which empties it)
                *(f"-X {chain}" for chain in own),
                "COMMIT",
            ]
            script += [f"{line}\n" for line in lines]
    return "".join(script)


def has_chains(saved: str) -> bool:
    """There is a chain of a Kubernetes node: without one, what else there is of its rules does nothing."""
    return any(chain.startswith(CHAIN_PREFIXES) for chains in _chains(saved).values() for chain in chains)


def traces(saved: str) -> list[str]:
    """Chains, and rules elsewhere, such as any Kubernetes node has; each as one line."""
    chains = [f"chain {chain}" for chains in _chains(saved).values() for chain in chains if chain.startswith(CHAIN_PREFIXES)]
    rules = [f"rule {rule}" for rule in _rules(saved) if not rule.chain.startswith(CHAIN_PREFIXES) and _is_ours(rule)]
    return chains + rules


def news(before: str, now: str) -> list[str]:
    """Rules that were not there before and that say `kube` anywhere, in whatever spelling a component's next version has."""
    known = set(_rules(before))
    return [f"rule {rule}" for rule in _rules(now) if rule not in known and "kube" in rule.text.lower()]


def _is_ours(rule: Rule) -> bool:
    try:
        words = shlex.split(rule.text)
    except ValueError:
        words = rule.text.split()
    return any(value.startswith(_NAMED_BY.get(option, ())) for option, value in itertools.pairwise(words))


def _chains(saved: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, line in _lines(saved):
        found.setdefault(table, [])
        if line.startswith(":"):
            found[table] += line[1:].split()[:1]
    return found


def _rules(saved: str) -> list[Rule]:
    parts = [(table, line.split(" ", 2)) for table, line in _lines(saved) if line.startswith("-A ")]
    return [Rule(table, words[1], "".join(words[2:])) for table, words in parts]


def _lines(saved: str) -> Iterator[tuple[str, str]]:
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif table and line:
            yield table, line.rstrip()
