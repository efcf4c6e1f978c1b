"""Pickles that corpora were published as, read without running what they say: arrays and plain containers alone."""

import io
import pickle
from typing import Any

from expclip import storage
from expclip.errors import BadRequestError

_NUMPY = frozenset(("_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"))
_OTHERS = frozenset((("_codecs", "encode"), ("collections", "OrderedDict"), ("collections", "defaultdict")))


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        of_numpy = module.split(".")[0] == "numpy" and name in _NUMPY
        if of_numpy or (module, name) in _OTHERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is neither an array nor a container")


def load(path: str) -> Any:
    """Return the content of a pickle, written by Python 2 or 3; raises BadRequestError if it holds anything else."""
    try:
        return _Arrays(io.BytesIO(storage.read_bytes(path)), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError, ImportError) as error:
        raise BadRequestError(f"{path}: cannot be read as a pickle of arrays: {error}") from None
