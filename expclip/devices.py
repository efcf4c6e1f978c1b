"""Where tensors are computed: a name in, a torch device out."""

import torch

from expclip.errors import BadRequestError


def resolve(name: str = "auto") -> torch.device:
    """Return the device of a name: cpu, cuda, cuda:1, mps, ...; `auto` is a GPU if there is one, else the CPU.

    Raises BadRequestError for a name that torch does not know or a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise BadRequestError(f"no device {name!r} here; auto, cpu, cuda and cuda:K are valid") from None
    return device
