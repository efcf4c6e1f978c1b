"""BlendVOCA (Park, Cho 2024, SAiD): VOCASET's sentences as 32 ARKit weights of the lower face, 60 fps.

Read are `blendshape_coeffs/SPEAKER/SENTENCE.csv` (a line of channel names, then a line a frame) with
`audio/SPEAKER/SENTENCE.wav`, in any folder. One sentence may have several csv files, `SENTENCE-N.csv`.
"""

import csv
import io
from collections.abc import Iterator

import numpy as np

from expclip import storage
from expclip.corpora import Found, Measured, Options, Source, rows, vocaset
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError
from expclip.rig import load_rig

LICENCE = "BlendVOCA from VOCASET (Cudeiro et al. 2019): non-commercial scientific research, by agreement"
BRINGS = "VOCASET's sentences; ARKit tracks of 32 channels (jaw, mouth, cheeks, nose)"
LAYOUT = "blendshape_coeffs/SPEAKER/SENTENCE.csv and audio/SPEAKER/SENTENCE.wav"


def clips(tree: Tree, options: Options) -> Iterator[Source]:
    """Yield the tables of weights; see `corpora`."""
    pattern = r"((?:.*/)?)blendshape_coeffs/([^/]+)/((sentence\d+)(-[^/]+)?)\.csv"
    for file, match in tree.match(pattern):
        speaker, name, sentence = match[2], match[3], match[4]
        sound = f"{match[1]}audio/{speaker}/{sentence}.wav"
        row = vocaset.row("blendvoca", LICENCE, speaker, name, tree.path(sound))
        yield Source(row, {"weights": tree.path(file)})


def read(source: Source, audio_folder: str) -> Found:
    """Open a sentence's weights."""
    path, rig = source.files["weights"], load_rig()
    lines = [line for line in csv.reader(io.StringIO(storage.read_text(path))) if line]
    try:
        values_TN = np.array(lines[1:], np.float32)
    except ValueError:
        raise BadRequestError(f"{path}: a value is not a number, or lines differ in length") from None
    if not len(values_TN):
        raise BadRequestError(f"{path}: no frames")
    names = [name.strip() for name in lines[0]]
    weights_TC = rig.reorder(values_TN, names)
    channels = tuple(rig.canonical(name) for name in names)
    measured = Measured(
        weights_TC,
        rows.uniform(len(weights_TC), vocaset.FPS),
        np.asarray(np.isfinite(weights_TC).all(1)),
        channels,
        channels,
        "SAiD's optimisation on VOCASET",
        stated_fps=vocaset.FPS,
        timed=False,
    )
    return Found(source.clip, measured)
