"""The `asserts` of a corpus: English sentences, each made of clauses, each clause a pattern with a check.

Goes in: a `Run` and a sentence. Comes out: what is wrong. A clause that no pattern fits is wrong in itself: nothing is passed over
because nobody understood it. Pure.
"""

import re
from collections.abc import Callable
from typing import Final

from .clauses import CLAUSES
from .run import Run

Check = Callable[[Run, re.Match[str]], str | None]
"""Returns what is wrong."""
_SPLIT: Final = re.compile(r";\s+|\s+\+\s+(?=no )")


def judge_sentence(run: Run, sentence: str) -> list[str]:
    """Each of its clauses; or the sentence as a whole, where only that has a meaning."""
    whole = _find(sentence)
    if whole is not None and not all(_find(clause) for clause in _SPLIT.split(sentence)):
        return _apply(run, *whole)
    wrong = []
    for clause in _SPLIT.split(sentence):
        found = _find(clause)
        wrong += [f"assert not understood: {clause}"] if found is None else _apply(run, *found)
    return wrong


def understood(sentence: str) -> bool:
    """Every clause of it has a check."""
    return _find(sentence) is not None or all(_find(clause) for clause in _SPLIT.split(sentence))


def _find(clause: str) -> tuple[Check, re.Match[str]] | None:
    for pattern, check in CLAUSES:
        if match := pattern.fullmatch(clause.strip()):
            return check, match
    return None


def _apply(run: Run, check: Check, match: re.Match[str]) -> list[str]:
    said = check(run, match)
    return [f"{said} (“{match[0]}”)"] if said else []
