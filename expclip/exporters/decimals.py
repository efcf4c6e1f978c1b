"""Numbers as text with a fixed count of decimals, many at once: what the text formats have in common.

Weights lie in 0..1, so their digits have a fixed width and a whole table is written by a few array operations,
about a hundred times faster than formatting number by number. T rows, C columns.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from expclip.rig import FloatArray

ByteArray = npt.NDArray[np.uint8]

MAX_DECIMALS = 12
"""More would not fit an exact integer beside the digit before the point."""


def rows(values_TC: FloatArray, decimals: int) -> list[bytes]:
    """Return each row of (T, C) as comma-separated decimals: `b"0.1250,1.0000"`; any finite values will do."""
    if not values_TC.size:
        return [b""] * len(values_TC)
    scaled_TC = np.rint(values_TC.astype(np.float64) * 10**decimals)
    if scaled_TC.min() < 0 or scaled_TC.max() >= 10 ** (decimals + 1):
        return [",".join(f"{value:.{decimals}f}" for value in row).encode() for row in values_TC.tolist()]
    count, columns = values_TC.shape
    text = np.full((count, columns, decimals + 3), ord(","), np.uint8)
    digits = _digits(scaled_TC.astype(np.int64), decimals + 1)
    text[..., 0], text[..., 1], text[..., 2:-1] = digits[..., 0], ord("."), digits[..., 1:]
    whole, width = text.tobytes(), columns * (decimals + 3)
    return [whole[start : start + width - 1] for start in range(0, len(whole), width)]


def _digits(values: npt.NDArray[np.int64], width: int) -> ByteArray:
    """Return the decimal digits (..., width) of integers >= 0 as ASCII, zeros in front; four at a time."""
    groups = -(-width // 4)
    out = np.empty((*values.shape, groups * 4), np.uint8)
    for group in reversed(range(groups)):
        values, rest = np.divmod(values, 10_000)
        out[..., group * 4 : group * 4 + 4] = _four_digits()[rest]
    return np.asarray(out[..., groups * 4 - width :])


@cache
def _four_digits() -> ByteArray:
    """Return the text of 0000..9999, (10000, 4)."""
    numbers = np.arange(10_000)[:, None]
    return np.asarray(numbers // np.array([1000, 100, 10, 1]) % 10 + ord("0"), np.uint8)
