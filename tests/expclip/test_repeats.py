"""Records that repeat an earlier one are found by their signatures, and by letter."""

import numpy as np

from expclip import repeats, review


def row(name: str, prompt: np.ndarray, situation: np.ndarray, **texts: str) -> dict[str, object]:
    told = {"tag": "same", "prompt": f"p {name}", "situation": f"s {name}", "description": f"d {name}"} | texts
    return {"id": name, "texts": list(told.items()), "signature": review.signature([prompt, situation])}


def test_later_records_that_repeat_are_named_with_the_earlier() -> None:
    random = np.random.default_rng(0)
    a, b, c, d, e, f = random.standard_normal((6, 32)).astype(np.float32)
    rows = [
        row("1", a, b),
        row("2", a + 0.01 * c, d),
        row("3", e, b + 0.01 * a),
        row("4", c, f),
        row("5", d, e, description="D 4"),
        row("6", f, c),
    ]
    assert repeats.repeated(rows, 0.95) == {
        "2": "prompt is nearly the same as that of 1",
        "3": "situation is nearly the same as that of 1",
        "5": "description is that of 4",
    }
    assert set(repeats.repeated(rows, 2.0)) == {"5"}
    assert repeats.repeated([], 0.95) == {}
