"""The solutions of experiments/exercises.md run, and would not if what they speak of were otherwise."""

import re

import numpy as np
import pytest
from conftest import ROOT

import reference_numpy as ref

TEXT = (ROOT / "experiments" / "exercises.md").read_text()
PARTS = re.split(r"^## ", TEXT, flags=re.M)[1:]
TITLES = [part.splitlines()[0] for part in PARTS]


def solution(part):
    (block,) = re.findall(r"```python\n(.*?)```", part, re.S)
    return compile(block, part.splitlines()[0], "exec")


def test_there_are_six_each_with_a_hint_and_a_solution_folded_away():
    assert [int(title.partition(".")[0]) for title in TITLES] == [1, 2, 3, 4, 5, 6]
    for part in PARTS:
        folded = re.findall(r"<details><summary>(\w+)</summary>\n\n(.*?)\n\n</details>", part, re.S)
        assert [name for name, _ in folded] == ["Hint", "Solution"]
        assert "```python" in folded[1][1]
        assert "```" not in part.partition("<details>")[0] + folded[0][1]


@pytest.mark.parametrize("part", PARTS, ids=TITLES)
def test_a_solution_runs(part):
    assert "\nassert " in part.partition("Solution")[2], "it checks itself"
    exec(solution(part), {})


def plain_square(u, theta, width):
    return (np.abs(u - theta) <= width / 2) / 1.0


def no_reset(dspikes, cache):
    return lif_backward(dspikes, cache | {"s": 0 * cache["s"]})


def half_a_deviation(u, f_c=1.0):
    return f_c * (u.mean() + 0.5 * u.std())


def repaired(u, f_c=1.0):
    return u.mean() + f_c * u.std()


def open_step(u, fire, k):
    return (u > fire).astype(float)


def no_tie(current, **settings):
    return lif_forward(current, spike=open_step, **settings)


lif_forward = ref.lif_forward
lif_backward = ref.lif_backward
WRONG = (
    ("rectangle", plain_square),
    ("lif_backward", no_reset),
    ("adaptive_threshold", half_a_deviation),
    ("adaptive_threshold", repaired),
    ("lif_forward", no_tie),
    ("adaptive_threshold", half_a_deviation),
)


@pytest.mark.parametrize("part, wrong", list(zip(PARTS, WRONG, strict=True)), ids=TITLES)
def test_a_solution_notices_what_is_not_so(part, wrong, monkeypatch):
    monkeypatch.setattr(ref, *wrong)
    with pytest.raises(AssertionError):
        exec(solution(part), {})
