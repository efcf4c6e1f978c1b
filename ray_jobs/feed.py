"""Crops through Ray Data: loader processes make the batches of one training worker ahead, in the order of its steps.

Each worker has a data set of its own, of the steps that it still has to take and of its slots alone. A data set that
Ray Train would split among workers begins at its first row after every failure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from expclip.errors import BadRequestError

CPUS = 1.0
"""Of a loader; its worker reserves them, else a worker could be placed where none are left for its loaders."""
_AHEAD = 2
"""Batches that wait in the worker's process."""
_BLOCKS = 50
"""A block has several steps, so that Ray's work on it is small, but at first not so many that the worker waits."""


def crops(sampler: Any, numbers: range, slots: Sequence[int], workers: int) -> Iterator[Mapping[str, Any]]:
    """Yield the columns of those slots for each number, made by `workers` processes."""
    import ray.data as rd

    context = rd.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    size = min(8, max(1, len(numbers) // _BLOCKS))
    blocks = [pa.table({"number": list(numbers[k : k + size])}) for k in range(0, len(numbers), size)]
    if not blocks:
        return
    data = rd.from_arrow(blocks).map_batches(
        _Loader,
        fn_constructor_args=(sampler, tuple(slots)),
        batch_size=1,
        batch_format="numpy",
        compute=rd.ActorPoolStrategy(size=max(1, workers)),
        num_cpus=0,
    )
    batches = data.iter_batches(batch_size=len(slots), batch_format="numpy", prefetch_batches=_AHEAD)
    for number, columns in zip(numbers, _refusing(batches), strict=True):
        if not (np.asarray(columns["number"]) == number).all():
            raise RuntimeError(f"crops of steps {sorted(set(columns['number']))} came for step {number}")
        yield {str(name): values for name, values in columns.items() if name != "number"}


def _refusing(batches: Iterable[Any]) -> Iterator[Any]:
    """Pass batches on; a request's own fault that a loader found comes out as one again."""
    try:
        yield from batches
    except Exception as error:
        lines = [line for line in str(error).splitlines() if BadRequestError.__name__ in line]
        if not lines:
            raise
        raise BadRequestError(lines[-1].rpartition(f"{BadRequestError.__name__}: ")[2]) from None


class _Loader:
    """Makes the crops of a step; lives in an actor."""

    def __init__(self, sampler: Any, slots: tuple[int, ...]) -> None:
        import torch

        torch.set_num_threads(1)
        self._sampler, self._slots = sampler, slots

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        number = int(batch["number"][0])
        return {"number": np.full(len(self._slots), number), **self._sampler.rows(number, self._slots)}
