"""Ratios of paired rounds, and the file that keeps them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import results
from bench.__main__ import main
from bench.results import Result, keep

seconds = st.floats(0.01, 100)


def test_the_ratio_is_that_of_a_round_and_not_of_two_medians() -> None:
    # In the second round the machine was ten times slower, for both sides.
    result = Result.of("x", [2.0, 30.0, 2.0], [1.0, 10.0, 2.0], "s", aim=1.5)
    assert (result.ratio, result.spread) == (2.0, (1.0, 3.0))
    assert (result.ours, result.peer) == (2.0, 2.0)
    assert not result.met


@given(st.lists(st.tuples(seconds, seconds), min_size=1))
def test_the_ratio_lies_within_its_spread(pairs: list[tuple[float, float]]) -> None:
    result = Result.of("x", [ours for ours, _ in pairs], [peer for _, peer in pairs], "s")
    assert result.spread[0] <= result.ratio <= result.spread[1]
    assert result.met  # nothing is aimed at


@pytest.mark.parametrize(("ratio", "met"), [(1.25, True), (1.26, False)])
def test_an_aim_may_be_reached_exactly(ratio: float, *, met: bool) -> None:
    assert Result.of("x", [ratio], [1.0], "s", aim=1.25).met is met


def test_rounds_without_their_peer_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Result.of("x", [1.0, 2.0], [1.0], "s")


def test_results_of_others_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    monkeypatch.setattr(results, "RESULTS", file)
    keep([Result.of("a", [3.0], [2.0], "s", aim=1.25), Result.of("b", [1.0], [2.0], "us")])
    keep([Result.of("b", [1.0], [1.0], "us")])
    kept = json.loads(file.read_text())
    assert kept["a"] == {
        "ratio": 1.5, "aim": 1.25, "better": "lower", "ours": 3.0, "peer": 2.0, "unit": "s", "spread": [1.5, 1.5],
    }  # fmt: skip
    assert kept["b"]["ratio"] == 1.0


def test_a_name_that_nothing_has_is_told_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="no measurement typo; there are start, edge, pipeline, "):
        main(["typo"])
