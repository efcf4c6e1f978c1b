"""JSON of NVIDIA's Audio2Face application and of its Maya and Blender add-ons, which map it by `facsNames`."""

import json

import numpy as np

from expclip import storage
from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.exporters import decimals
from expclip.rig import load_rig, order, pascal

DECIMALS = 7
"""One digit beyond what float32 tells apart near 1."""


def write(animation: Animation, path: str) -> None:
    """Write the animation at its own frame rate to a local file, one frame a line."""
    names = order("a2f")
    ours = {pascal(name): name for name in animation.rig.channels}
    weights_TC = animation.weights_TC[:, animation.rig.indices(ours[name] for name in names)]
    fps = int(animation.fps) if animation.fps.is_integer() else animation.fps
    head = {"exportFps": fps, "numPoses": len(names), "numFrames": len(animation), "facsNames": names}
    frames = [b"[%s]" % row for row in decimals.rows(weights_TC, DECIMALS)]
    with open(path, "wb") as file:
        file.write(json.dumps(head)[:-1].encode())
        file.write(b', "weightMat": [\n' + b",\n".join(frames) + b"\n]}\n")


def read(path: str) -> Animation:
    """Return the animation of such a file, local or s3://, mapped by name; names ending in `_deprecated` are ignored.

    Raises BadRequestError if a field is missing, a name is unknown or the numbers do not fit the names.
    """
    try:
        table = json.loads(storage.read_text(path))
        fps, names, rows = float(table["exportFps"]), table["facsNames"], table["weightMat"]
        weights_TN = np.array(rows, np.float32).reshape(len(rows), len(names))
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError(f"{path}: not an Audio2Face JSON ({type(error).__name__}: {error})") from None
    return Animation(load_rig().reorder(weights_TN, names), fps)
