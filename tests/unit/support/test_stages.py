"""`make test`: its stages side by side, and that nothing passes for done that was not."""

import io
import re
from pathlib import Path

import pytest
from tests.stages import LANES, Stages

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def make(tmp_path: Path) -> list[str]:
    """Stages that write down what they did: `a` and `b` each wait until the other has begun; `bad` fails."""
    script = tmp_path / "make"
    script.write_text(f"""#!/bin/sh
cd {tmp_path}; touch began-$1; echo "$1 says"
case $1 in
  a) other=b;; b) other=a;; bad) exit 3;; *) exit 0;;
esac
for _ in $(seq 200); do test -e began-$other && exit 0; sleep 0.05; done; exit 1
""")
    script.chmod(0o755)
    return [str(script)]


def test_lanes_run_beside_each_other_and_stages_after_each_other(make: list[str]) -> None:
    out = io.StringIO()
    stages = Stages(make, out)
    assert stages.run((("a", "c"), ("b",))) == 0
    order = [name for name, _, _ in stages.rows]
    assert sorted(order) == ["a", "b", "c"]
    assert order.index("a") < order.index("c")
    assert re.findall("== a\na says\n", out.getvalue())


def test_a_failure_is_told_at_the_end_and_stops_no_other_stage(make: list[str], tmp_path: Path) -> None:
    out = io.StringIO()
    assert Stages(make, out).run((("bad", "c"),)) == 1
    assert {path.name for path in tmp_path.glob("began-*")} == {"began-bad", "began-c"}
    assert re.search(r"^bad +\d+ s failed$", out.getvalue(), re.MULTILINE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stage_that_was_never_run_is_no_success() -> None:
    class Broken(Stages):
        def _say(self, text: str) -> None:
            if "begins" in text:
                raise OSError

    assert Broken(["true"], io.StringIO()).run((("a",),)) == 1


def test_every_stage_is_a_target_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = [stage for lane in LANES for stage in lane]
    assert set(named) <= set(targets)
    assert len(named) == len(set(named))
