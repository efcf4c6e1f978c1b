"""NumPy archive: the weights as they are, with names, frame rate, prompt and provenance; for tools in Python."""

import json

import numpy as np

from expclip import storage
from expclip.animation import Animation
from expclip.errors import BadRequestError
from expclip.rig import load_rig


def write(animation: Animation, path: str) -> None:
    """Write `weights` float32 (T, C), `names`, `fps`, `prompt` and `provenance` (JSON); equal input, equal bytes."""
    with open(path, "wb") as file:  # given a name, numpy would append a suffix
        np.savez_compressed(
            file,
            weights=animation.weights_TC.astype(np.float32),
            names=np.array(animation.names),
            fps=np.float64(animation.fps),
            prompt=np.array(animation.prompt),
            provenance=np.array(json.dumps(dict(animation.provenance), sort_keys=True)),
        )


def read(path: str) -> Animation:
    """Return the animation of such an archive, local or s3://; raises BadRequestError if it is none."""
    try:
        with storage.open_read(path) as file, np.load(file, allow_pickle=False) as table:
            weights_TN, names, fps = table["weights"], table["names"].tolist(), float(table["fps"])
            prompt, provenance = str(table["prompt"]), json.loads(str(table["provenance"]))
    except (ValueError, KeyError, EOFError) as error:
        raise BadRequestError(f"{path}: not an npz of weights ({error})") from None
    return Animation(load_rig().reorder(weights_TN, names), fps, prompt=prompt, provenance=provenance)
