"""Devices by name; what is not there is refused."""

import pytest
import torch

from expclip import devices
from expclip.errors import BadRequestError


def test_names() -> None:
    assert devices.resolve("cpu") == torch.device("cpu")
    assert devices.resolve().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_unknown_and_absent_devices_are_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="no device"):
        devices.resolve(name)
