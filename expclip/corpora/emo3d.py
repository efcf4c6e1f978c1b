"""Emo3D (Dehghani et al. 2025): faces that an image generator drew from texts, with MediaPipe's weights.

Read are `emo3d_data.parquet` (sample_id, prompt_type, text_1..3, eight emotions 0..1, img_1..4, blenshape_score_1..4:
52 numbers in MediaPipe's order, as text) and `train_data.csv`, `val_data.csv`, `test_data.csv`, which split it by
sample. Every drawn face is an expression; there is no sound.
"""

import codecs
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from expclip import storage
from expclip.corpora import Row, rows
from expclip.corpora.tree import Tree
from expclip.errors import BadRequestError
from expclip.rig import FloatArray, load_rig, order

LICENCE = "MIT, Emo3D (Dehghani et al. 2025)"
BRINGS = "expressions of 51 channels with three texts and eight rated emotions each; no sound"
LAYOUT = "emo3d_data.parquet, in the folder or in data/"

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FACES = 4
TEXTS = ("text_1", "text_2", "text_3")
_BATCH = 512
_SPLITS = ("train", "val", "test")


def expressions(tree: Tree) -> Iterator[Row]:
    """Yield a row of EXPRESSIONS for every face of every sample, or {"id", "error"}."""
    path = tree.first("data/emo3d_data.parquet", "emo3d_data.parquet")
    if not path:
        return
    splits, seen = _splits(tree), Counter[str]()
    for sample in _samples(path):
        name = f"{sample.get('prompt_type')}_{sample.get('sample_id')}"
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}-{seen[name]}"
        split = splits.get(name) or rows.split_of(f"emo3d_{name}")
        yield from _faces(sample, unique, split, tree)


def _samples(path: str) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.open_read(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise BadRequestError(f"{path}: {error}") from None


def _splits(tree: Tree) -> dict[str, str]:
    """Return sample -> split of the published lists; the later one wins where a sample stands in two."""
    found: dict[str, str] = {}
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    for split in _SPLITS:
        path = tree.first(f"data/{split}_data.csv", f"{split}_data.csv")
        if path:
            with storage.open_read(path) as file:
                for row in csv.DictReader(codecs.iterdecode(file, "utf-8")):
                    found[f"{row.get('prompt_type')}_{row.get('sample_id')}"] = split
    return found


def _faces(sample: Mapping[str, Any], name: str, split: str, tree: Tree) -> Iterator[Row]:
    emotions = {label: float(sample[label]) for label in EMOTIONS if sample.get(label) is not None}
    texts = {kind: sample[kind].strip() for kind in TEXTS if (sample.get(kind) or "").strip()}
    for k in range(1, FACES + 1):
        score = sample.get(f"blenshape_score_{k}")
        if not score:
            continue
        identity = rows.slug("emo3d", name, str(k))
        try:
            weights_C = weights(score)
        except BadRequestError as error:
            yield {"id": identity, "error": str(error)}
            continue
        picture = sample.get(f"img_{k}") or ""
        yield rows.expression_row(
            identity,
            corpus="emo3d",
            source=(tree.first(f"data/{picture}", picture) or picture) if picture else "",
            split=split,
            weights=weights_C,
            mask=list(order("alphabetical_51")),
            texts=texts,
            emotion=max(emotions, key=lambda label: emotions[label]) if any(emotions.values()) else "",
            emotions=emotions,
            licence=LICENCE,
        )


def weights(score: str) -> FloatArray:
    """Return weights (C,) of a cell such as `[0. 0.27 ...]`: 52 numbers in MediaPipe's order.

    Raises BadRequestError for another count, for what is no number and for values outside 0..1.
    """
    names = order("mediapipe")
    numbers = score.strip().strip("[]").replace(",", " ").split()
    try:
        values_N = np.array(numbers, np.float32)
    except ValueError:
        raise BadRequestError("a weight is not a number") from None
    if len(values_N) != len(names):
        raise BadRequestError(f"{len(values_N)} weights, not {len(names)}")
    if not ((values_N >= 0) & (values_N <= 1)).all():
        raise BadRequestError("a weight is outside 0..1")
    return load_rig().reorder(values_N, names)
