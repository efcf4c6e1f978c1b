"""The 52 shapes as movements of the face: a table of anatomy.

In: the assembled head at rest. Out: displacements (C, V, 3) in rig order. What comes in pairs is written for the
subject's left (+x) and mirrored. Places are (x, y) on the face; pushes are cm to the left, up and forwards.
"""

import numpy as np

from expclip.head_mesh import Floats
from expclip.head_moves import Anatomy, CloseLips, Gaze, Jaw, Lid, Move, Narrow, Pull, Roll, Tongue
from expclip.rig import Rig

CORNER = (2.42, -5.86)
FOLD = (3.1, -4.7)  # beside the nose's wing, down to the corner of the mouth
CHEEK = (3.9, -3.0)  # over the cheekbone
HOLLOW = (4.1, -5.9)  # of the cheek, beside the teeth
UPPER_LIP, LOWER_LIP = (1.15, -5.45), (1.15, -6.75)
LIPS = (0.0, -6.05)
CHIN = (0.0, -8.9)
WING = (1.0, -3.1)  # of the nose
BRIDGE = (0.9, -0.6)  # of the nose
BROW_INNER, BROW_MIDDLE, BROW_OUTER = (1.5, 2.5), (3.2, 3.0), (4.9, 2.6)
FOREHEAD = (1.6, 4.6)

_OPEN = Jaw(turn=1.0)

SHAPES: dict[str, tuple[Move, ...]] = {
    # eyes: the ball turns, the upper lid goes with it
    "eyeBlinkLeft": (Lid(upper=0.90, lower=0.19), Pull(BROW_MIDDLE, (0, -0.06, 0), 1.5)),
    "eyeLookDownLeft": (Gaze(down=26), Lid(upper=0.32, lower=-0.10)),
    "eyeLookInLeft": (Gaze(out=-30),),
    "eyeLookOutLeft": (Gaze(out=30),),
    "eyeLookUpLeft": (Gaze(down=-22), Lid(upper=-0.13, lower=0.03)),
    "eyeSquintLeft": (Lid(upper=0.17, lower=0.36), Pull(CHEEK, (0, 0.22, 0.10), 1.7)),
    "eyeWideLeft": (Lid(upper=-0.26, lower=-0.12), Pull(BROW_MIDDLE, (0, 0.10, 0), 1.6)),
    # jaw
    "jawForward": (Jaw(shift=(0, 0, 0.9)),),
    "jawLeft": (Jaw(shift=(0.9, 0, 0)),),
    "jawOpen": (
        _OPEN,
        Pull(CORNER, (-0.22, 0.12, -0.10), 1.4, both=True),
        Pull(HOLLOW, (-0.20, 0, -0.10), 2.0, both=True),
    ),
    "mouthClose": (CloseLips(_OPEN),),
    # the ring muscle of the mouth
    "mouthFunnel": (
        Narrow(0.30),
        Pull(LIPS, (0, 0, 0.75), (2.4, 1.6, 3.0)),
        Pull((0, -5.5), (0, 0.40, 0.18), (3.0, 1.1, 3.0), "upper"),
        Pull((0, -6.7), (0, -0.50, 0.20), (3.0, 1.2, 3.0), "lower"),
    ),
    "mouthPucker": (
        Narrow(0.50),
        Pull(LIPS, (0, 0.05, 1.05), (2.2, 1.5, 3.0)),
        Pull((0, -5.3), (0, 0.12, -0.10), (2.6, 0.7, 3.0), "upper"),
        Pull((0, -6.9), (0, -0.12, -0.10), (2.6, 0.7, 3.0), "lower"),
        Pull(HOLLOW, (-0.25, 0, 0), 1.6, both=True),
    ),
    "mouthLeft": (Pull(LIPS, (1.0, 0.06, -0.12), (3.4, 2.2, 3.5)), Pull(CORNER, (0.25, 0.12, -0.35), 1.6)),
    # corners of the mouth
    "mouthSmileLeft": (
        Pull(CORNER, (0.85, 0.10, -0.62), (1.9, 1.5, 2.2)),
        Pull(CORNER, (0, 0.85, 0), (1.6, 1.6, 2.2), inner=1.15),
        Pull(FOLD, (0.18, 0.30, 0.12), 1.5),
        Pull(CHEEK, (0.10, 0.48, 0.40), 1.8),
        Lid(lower=0.10),
    ),
    "mouthFrownLeft": (
        Pull(CORNER, (0.12, -0.80, -0.12), (1.4, 1.5, 2.0), inner=1.1),
        Pull((1.6, -8.3), (0, 0.16, 0.14), 1.3),
    ),
    "mouthDimpleLeft": (Pull(CORNER, (0.42, 0.16, -0.50), 1.3), Pull((3.5, -5.7), (0.10, 0, -0.32), 0.9)),
    "mouthStretchLeft": (
        Pull(CORNER, (0.90, -0.30, -0.62), (2.0, 1.5, 2.2)),
        Pull((1.8, -7.2), (0.35, -0.22, -0.08), 1.5, "lower"),
        Pull((3.4, -9.5), (0.10, -0.30, 0), 1.8),
    ),
    # lips
    "mouthRollLower": (Roll("lower", 1.0), Pull((0, -7.2), (0, 0.24, 0.02), (2.6, 1.6, 2.5), "lower")),
    "mouthRollUpper": (Roll("upper", 1.0), Pull((0, -4.9), (0, -0.12, 0), 1.4)),
    "mouthShrugLower": (Pull(CHIN, (0, 0.42, 0.10), 1.8), Pull((0, -6.5), (0, 0.50, 0.32), (2.3, 1.3, 2.5))),
    "mouthShrugUpper": (Pull((0, -5.4), (0, 0.32, 0.30), (2.0, 1.0, 2.5)),),
    "mouthPressLeft": (
        Roll("lower", 0.55, at=(1.3, -6.3)),
        Roll("upper", 0.55, at=(1.3, -5.9)),
        Pull(CORNER, (0.10, 0.06, -0.22), 1.0),
    ),
    "mouthLowerDownLeft": (Pull(LOWER_LIP, (0.10, -0.72, -0.02), (1.7, 1.5, 2.5), "lower"),),
    "mouthUpperUpLeft": (
        Pull(UPPER_LIP, (0.06, 0.62, 0.0), (1.7, 1.4, 2.5), "upper"),
        Pull(FOLD, (0.05, 0.28, 0.15), 1.3),
        Pull(WING, (0.06, 0.10, 0), 0.8),
    ),
    # brows
    "browDownLeft": (
        Pull(BROW_INNER, (-0.28, -0.62, 0.16), (1.4, 1.3, 2.0)),
        Pull(BROW_MIDDLE, (-0.05, -0.42, 0.04), 1.5),
        Lid(upper=0.07),
    ),
    "browInnerUp": (
        Pull(BROW_INNER, (-0.08, 0.95, 0.0), (1.6, 1.5, 2.0), both=True),
        Pull(FOREHEAD, (0, 0.30, 0.04), 1.6, both=True),
    ),
    "browOuterUpLeft": (Pull(BROW_OUTER, (0.05, 0.85, -0.12), (1.9, 1.5, 2.4)), Pull((4.0, 4.6), (0, 0.30, 0), 1.7)),
    # cheeks, nose, tongue
    "cheekPuff": (
        Pull(HOLLOW, (0.85, 0, 0.75), (1.9, 2.1, 2.4), both=True),
        Pull((0, -4.9), (0, 0, 0.22), 1.3),
        Pull((0, -7.4), (0, 0, 0.22), 1.3),
        Narrow(0.10),
    ),
    "cheekSquintLeft": (Pull(CHEEK, (0, 0.58, 0.34), 1.7), Lid(lower=0.30)),
    "noseSneerLeft": (
        Pull(WING, (0.20, 0.52, 0.06), (0.8, 0.9, 1.4)),
        Pull(BRIDGE, (-0.10, 0.20, 0.32), 0.7),
        Pull((1.4, -5.2), (0.04, 0.34, 0.04), 1.3, "upper"),
        Pull(FOLD, (-0.06, 0.38, 0.22), 1.2),
        Pull(BROW_INNER, (-0.10, -0.22, 0.08), 1.0),
    ),
    "tongueOut": (
        Jaw(turn=0.16),
        Tongue((0, 0.60, 4.9), flatten=0.05, droop=0.35),
        Pull((0, -5.6), (0, 0.25, 0.05), (2.0, 1.2, 2.5), "upper"),
        Pull((0, -6.6), (0, -0.42, 0.05), (2.2, 1.4, 2.5), "lower"),
    ),
}
"""Movements of every shape but the right-hand ones, which mirror these."""


def deltas(head: Anatomy, rig: Rig) -> Floats:
    """Return the displacements (C, V, 3) of a face's shapes, by channel of the rig."""
    out_CV3 = np.zeros((len(rig), *head.vertices_V3.shape))
    for name, moves in SHAPES.items():
        k = rig.index(name)
        out_CV3[k] = np.sum([move.delta(head) for move in moves], axis=0)
        twin = rig.mirror_order[k]
        if twin != k:
            out_CV3[twin] = head.mirrored(out_CV3[k])
    return out_CV3
