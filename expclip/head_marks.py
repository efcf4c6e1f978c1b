"""Places of our own head to measure at: vertex numbers of lips, lids and what lies hidden behind them.

The skin's vertices come first in the head: the loops of the mouth, of the left eye, of the right eye, the rest.
"""

import numpy as np

from expclip.head_mesh import Ints
from expclip.head_skin import EYE_RINGS, EYE_SAMPLES, LID_FOLD, LIP_EDGE, MOUTH_SAMPLES, POCKET, SEAM

_MOUTH = (len(SEAM) + len(POCKET)) * MOUTH_SAMPLES + 1
_EYE = (len(EYE_RINGS) + len(LID_FOLD)) * EYE_SAMPLES


def lips() -> Ints:
    """Return the vertices of both lips, from their border to the line where they touch."""
    first = sum(seam > LIP_EDGE for seam in SEAM)
    return np.arange(first * MOUTH_SAMPLES, len(SEAM) * MOUTH_SAMPLES)


def lids() -> Ints:
    """Return the vertices of the edges of all lids."""
    edge = (len(EYE_RINGS) - 1) * EYE_SAMPLES + np.arange(EYE_SAMPLES)
    return np.concatenate([_MOUTH + edge, _MOUTH + _EYE + edge])


def hidden() -> Ints:
    """Return the vertices of the skin within the mouth and behind the lids."""
    folds = np.arange(len(EYE_RINGS) * EYE_SAMPLES, _EYE)
    return np.concatenate([np.arange(len(SEAM) * MOUTH_SAMPLES, _MOUTH), _MOUTH + folds, _MOUTH + _EYE + folds])
