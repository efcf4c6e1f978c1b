"""How the channels of a table move, as sums over frames that take no memory: dead channels, averaged sides, means.

T frames, C channels, P pairs of channels of both sides.
"""

import numpy as np
import numpy.typing as npt

from expclip.findings import Finding, Histogram, bars, span
from expclip.rig import FloatArray, load_rig
from expclip.tables import BoolArray

_STILL = 0.005
"""Standard deviation below which a channel is taken for dead."""
_AVERAGED = 0.995
"""Correlation of left and right from which a face is taken for averaged."""


class Motion:
    """Sums over frames that say how channels move, whatever the number of frames."""

    def __init__(self) -> None:
        self.rig = load_rig()
        gaze = set(self.rig.region("gaze"))
        aside = {*gaze, *self.rig.indices(("jawLeft", "jawRight", "mouthLeft", "mouthRight"))}
        pairs = [(k, other) for k, other in enumerate(self.rig.mirror_order) if k < other and k not in aside]
        self.left_P, self.right_P = (np.array(side) for side in zip(*pairs, strict=True))
        self.known_C, self.sum_C, self.square_C = (np.zeros(len(self.rig)) for _ in range(3))
        self.product_P = np.zeros(len(pairs))
        self.bins = np.zeros(20, np.int64)
        self.jumps: list[float] = []

    def add(self, weights_TC: FloatArray, known_C: BoolArray) -> None:
        """Count frames in which the known channels were measured."""
        seen_TC = np.where(known_C, weights_TC, 0).astype(np.float64)
        self.known_C += known_C * len(seen_TC)
        self.sum_C += seen_TC.sum(0)
        self.square_C += (seen_TC**2).sum(0)
        self.product_P += (seen_TC[:, self.left_P] * seen_TC[:, self.right_P]).sum(0)
        self.bins += np.histogram(seen_TC[:, known_C], bins=len(self.bins), range=(0, 1))[0]
        if len(seen_TC) > 1:
            self.jumps.append(float(np.abs(np.diff(seen_TC, axis=0)).max()))

    def report(self, finding: Finding) -> None:
        """Add what the sums say: dead channels, averaged sides, the resting face."""
        counted_C = self.known_C.clip(1)
        mean_C = self.sum_C / counted_C
        deviation_C = np.sqrt((self.square_C / counted_C - mean_C**2).clip(0))
        names = np.array(self.rig.channels)
        known_C = self.known_C > 0
        dead = names[known_C & (deviation_C < _STILL)]
        if len(dead):
            finding.notes.append(f"{len(dead)} of {known_C.sum()} channels hardly move: {', '.join(dead)}")
        if self._together(mean_C, deviation_C) >= _AVERAGED:
            finding.notes.append("left and right move as one: the data is averaged over the sides")
        means = {str(name): round(1000 * mean) for name, mean in zip(names, mean_C, strict=True)}
        finding.histograms.append(bars("mean weight, thousandths", {n: mean for n, mean in means.items() if mean}, 52))
        edges = np.linspace(0, 1, len(self.bins) + 1)
        labels = tuple(f"{low:.2f} to {high:.2f}" for low, high in zip(edges, edges[1:], strict=False))
        finding.histograms.append(Histogram("weights of all known channels", labels, tuple(map(int, self.bins))))
        if self.jumps:
            finding.figures["largest change in a frame"] = span(self.jumps)

    def _together(self, mean_C: npt.NDArray[np.float64], deviation_C: npt.NDArray[np.float64]) -> float:
        """Return the mean correlation of left and right over the pairs that move."""
        left_P, right_P = self.left_P, self.right_P
        moving_P = np.minimum(deviation_C[left_P], deviation_C[right_P]) > _STILL
        if not moving_P.any():
            return 0.0
        covariance_P = self.product_P / self.known_C[left_P].clip(1) - mean_C[left_P] * mean_C[right_P]
        return float((covariance_P / (deviation_C[left_P] * deviation_C[right_P]).clip(1e-9))[moving_P].mean())
