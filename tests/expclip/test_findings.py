"""Words and bars about numbers."""

import numpy as np

from expclip.findings import bars, histogram, listed, span


def test_whole_numbers_get_a_bar_each() -> None:
    chart = histogram("words", [3, 5, 5, 4, 5, float("nan")])
    assert chart is not None
    assert (chart.labels, chart.counts) == (("3", "4", "5"), (1, 1, 3))


def test_other_numbers_share_bars() -> None:
    chart = histogram("seconds", np.linspace(0, 1, 101), 4, " s")
    assert chart is not None
    assert chart.labels[0] == "0 to 0.25 s"
    assert (len(chart.counts), sum(chart.counts)) == (4, 101)
    assert histogram("one value", [0.5, 0.5]).counts == (2,)  # type: ignore[union-attr]
    assert histogram("none", [float("nan")]) is None


def test_counts_are_ranked_and_cut() -> None:
    counts = {f"name{k}": k for k in range(1, 12)}
    assert listed(counts).startswith("name11 11, name10 10")
    assert listed(counts).endswith("name4 4, and 3 more")
    assert bars("t", counts, 2).labels == ("name11", "name10")


def test_spans_leave_out_what_is_no_number() -> None:
    assert span([1, 2, float("nan"), 9], " s") == "1 to 9 s, median 2 s"
    assert span([]) == "-"
