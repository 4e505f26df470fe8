"""The `asserts` of a corpus: English sentences, each made of clauses, each clause a pattern with a check.

Goes in: a `Run` and a sentence. Comes out: what is wrong. A clause that no pattern fits is wrong in itself: nothing is passed over
because nobody understood it. Pure.
"""

import re
from typing import Final

from .clauses import CLAUSES
from .clauses_request import Check
from .run import Run

_SPLITS: Final = (re.compile(r";\s+|\s+\+\s+(?=no )"), re.compile(r"(?!)"), re.compile(r";\s+|,\s+(?:and\s+)?|\s+and\s+"))
"""A sentence is read clause by clause, else as a whole, else in smaller parts: the first way in which all of it is understood."""
_IF: Final = re.compile(
    r"if (?:it (?:is|was) )?(?:forwarded|accepted|passed(?: on)?|200|it reaches (?:the )?upstream): (?P<then>.*)", re.IGNORECASE
)
_REMARK: Final = re.compile(r"\s*\([^()]*\)\s*$")


def judge_sentence(run: Run, sentence: str) -> list[str]:
    """What is wrong with it."""
    wrong = []
    for clause in _clauses(sentence):
        found = _find(clause)
        if found is None:
            wrong.append(f"assert not understood: {clause}")
        elif (said := _check(run, clause, *found)) is not None:
            wrong.append(f"{said} (“{clause}”)")
    return wrong


def understood(sentence: str) -> bool:
    """Every clause of it has a check."""
    return all(_find(clause) for clause in _clauses(sentence))


def _clauses(sentence: str) -> list[str]:
    for split in _SPLITS:
        parts = [part.strip() for part in split.split(sentence)]
        if all(_find(part) for part in parts):
            return parts
    return [part.strip() for part in _SPLITS[0].split(sentence)]


def _check(run: Run, clause: str, check: Check, match: re.Match[str]) -> str | None:
    if _IF.fullmatch(clause) and not run.requests:
        return None
    return check(run, match)


def _find(clause: str) -> tuple[Check, re.Match[str]] | None:
    condition = _IF.fullmatch(clause)
    for text in (clause, _REMARK.sub("", clause), condition["then"] if condition else clause):
        for pattern, check in CLAUSES:
            if match := pattern.fullmatch(text.strip()):
                return check, match
    return None
