"""FLAME's expression and jaw -> ARKit weights, by a matrix that the user brings; none ships, for none is ours to give.

The file is an .npz with `matrix` (E + 3, N), rows in the order of E expression values and three of the jaw's
rotation, and `names` (N), the ARKit channel of each column.
"""

from functools import lru_cache

import numpy as np

from expclip import storage
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig

LEFT_OUT = "motion: FLAME, not ARKit weights, left out; --set options.matrix=FILE.npz brings it in"


def matrix(path: str) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the matrix (E + 3, N) and its channels; raises BadRequestError for a file that holds none."""
    return _matrix(path, storage.stamp(path))


@lru_cache(2)
def _matrix(path: str, stamp: str) -> tuple[FloatArray, tuple[str, ...]]:
    if not storage.exists(path):
        raise BadRequestError(f"no such file: {path}")
    try:
        with storage.open_read(path) as file, np.load(file) as table:
            values_EN, names = np.asarray(table["matrix"], np.float32), [str(name) for name in table["names"]]
    except (ValueError, KeyError, OSError) as error:
        raise BadRequestError(f"{path}: no .npz with matrix and names ({type(error).__name__}: {error})") from None
    if values_EN.ndim != 2 or values_EN.shape[1] != len(names) or len(values_EN) <= 3:
        raise BadRequestError(f"{path}: a matrix of shape {values_EN.shape} does not fit {len(names)} names")
    return values_EN, tuple(load_rig().canonical(name) for name in names)


def weights(expression_TE: FloatArray, jaw_T3: FloatArray, path: str) -> tuple[FloatArray, tuple[str, ...]]:
    """Return weights (T, C) in the rig's order, not clamped, and the channels that the matrix gives."""
    values_EN, channels = matrix(path)
    width = expression_TE.shape[1] + 3
    if len(values_EN) != width:
        raise BadRequestError(f"{path}: {len(values_EN)} rows, but the motion has {width} values")
    values_TN = np.concatenate([expression_TE, jaw_T3], 1).astype(np.float32) @ values_EN
    return load_rig().reorder(values_TN, channels), channels
