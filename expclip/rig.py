"""The rig: channel names in their canonical order, regions, mirror pairs and other systems' orders.

Channels are always mapped by name. This is the only module that knows at which index a channel stands,
and `rigs/NAME.toml` is the only place that lists them.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from expclip.errors import BadRequestError, unknown

FloatArray = npt.NDArray[np.float32]

ROTATIONS = (
    *("HeadYaw", "HeadPitch", "HeadRoll"),
    *("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    *("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
)
"""Signed rotation columns that Live Link puts behind its 52 shapes."""

A2F_TONGUE = tuple(
    f"Tongue{part}"
    for part in (
        *("TipUp", "TipDown", "TipLeft", "TipRight", "RollUp", "RollDown", "RollLeft", "RollRight"),
        *("Up", "Down", "Left", "Right", "In", "Stretch", "Wide", "Narrow"),
    )
)
"""Tongue shapes that Audio2Face-3D v2 puts behind its 52."""


@dataclass(frozen=True)
class ActionUnit:
    """One FACS action unit: its code, its name in words and the shapes it drives at intensity 1."""

    code: str
    name: str
    shapes: Mapping[str, float]

    @property
    def sided(self) -> bool:
        """Whether the face can show it on one side alone."""
        return any("*" in shape for shape in self.shapes)


@dataclass(frozen=True, eq=False)
class Rig:
    """Named channels of a face; `channels[k]` is the name of column k of every weights array."""

    name: str
    channels: tuple[str, ...]
    regions: Mapping[str, tuple[str, ...]]
    action_units: Mapping[str, ActionUnit]
    inverse_skip: frozenset[str]

    def __len__(self) -> int:
        return len(self.channels)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.channels)}

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return {_fold(name): name for name in self.channels}

    def index(self, name: str) -> int:
        """Return the column of a channel, given by any of its spellings."""
        return self._index[self.canonical(name)]

    def indices(self, names: Iterable[str]) -> list[int]:
        """Return the columns of several channels."""
        return [self.index(name) for name in names]

    def canonical(self, name: str) -> str:
        """Return our spelling of a channel: `MouthSmileLeft`, `mouthSmile_L`, `mouth_smile_left` -> `mouthSmileLeft`.

        Raises BadRequestError for a name that is no channel of this rig.
        """
        found = self._aliases.get(_fold(name))
        if found is None:
            raise unknown(f"channel of rig {self.name}", name, self.channels)
        return found

    def region(self, name: str) -> list[int]:
        """Return the columns of a region: mouth, upper, gaze or other."""
        if name not in self.regions:
            raise unknown("region", name, self.regions)
        return self.indices(self.regions[name])

    @cached_property
    def mirror_order(self) -> tuple[int, ...]:
        """Columns in mirrored order: `weights[..., mirror_order]` is the mirrored face."""
        return tuple(self._index[_mirrored(name, self._index)] for name in self.channels)

    def mirror(self, weights_C: FloatArray) -> FloatArray:
        """Return weights (..., C) with left and right exchanged; twice gives the same again."""
        return weights_C[..., list(self.mirror_order)]

    def zeros(self, *shape: int) -> FloatArray:
        """Return neutral weights of shape (*shape, C)."""
        return np.zeros((*shape, len(self)), np.float32)

    def weights(self, values: Mapping[str, float]) -> FloatArray:
        """Return weights (C,) from a mapping of channel name to value; what is not named is 0."""
        weights_C = self.zeros()
        for name, value in values.items():
            weights_C[self.index(name)] = value
        return weights_C

    def reorder(self, weights_TN: npt.ArrayLike, names: Sequence[str]) -> FloatArray:
        """Return weights (..., C) in this rig's order from columns (..., N) called `names`.

        Channels absent from `names` become 0. `_neutral` (MediaPipe's first column), rotation columns and
        names ending in `_deprecated` are dropped; any other unknown or repeated name raises BadRequestError.
        """
        source = np.asarray(weights_TN, np.float32)
        if source.shape[-1] != len(names):
            raise BadRequestError(f"{source.shape[-1]} columns of weights but {len(names)} channel names")
        out = self.zeros(*source.shape[:-1])
        seen: set[int] = set()
        for column, name in enumerate(names):
            if name == "_neutral" or is_rotation(name) or name.endswith("_deprecated"):
                continue
            k = self.index(name)
            if k in seen:
                raise BadRequestError(f"channel {name!r} is given twice")
            seen.add(k)
            out[..., k] = source[..., column]
        return out

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change when a name or the order changes."""
        return order_digest(self.channels)


def order_digest(names: Sequence[str]) -> str:
    """Return the first 16 hex digits of SHA-256 over the names joined by newlines."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def is_rotation(name: str) -> bool:
    """Whether a column is a signed rotation of the head or an eye, not a shape."""
    return pascal(name) in ROTATIONS


def pascal(name: str) -> str:
    """Return Unreal's and Audio2Face's spelling of a channel: `jawOpen` -> `JawOpen`."""
    return name[:1].upper() + name[1:]


def _fold(name: str) -> str:
    """Return the form in which two spellings of a channel are equal."""
    folded = name.removeprefix("blendShapes.").removeprefix("blendShape1.")
    if folded.endswith(("_L", "_R", "_l", "_r")):
        folded = folded[:-2] + {"l": "left", "r": "right"}[folded[-1].lower()]
    return folded.replace("_", "").lower()


def _mirrored(name: str, known: Mapping[str, int]) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side) and name.removesuffix(side) + other in known:
            return name.removesuffix(side) + other
    return name


@cache
def load_rig(name: str = "arkit52") -> Rig:
    """Return the rig of that name; raises BadRequestError naming the known ones."""
    folder = resources.files("expclip") / "rigs"
    known = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    if name not in known:
        raise unknown("rig", name, known)
    table = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
    units = {code: ActionUnit(code, unit["name"], unit["shapes"]) for code, unit in table["action_units"].items()}
    return Rig(
        name=table["name"],
        channels=tuple(table["channels"]),
        regions=MappingProxyType({region: tuple(names) for region, names in table["regions"].items()}),
        action_units=MappingProxyType(units),
        inverse_skip=frozenset(table["inverse"]["skip"]),
    )


def order(name: str) -> tuple[str, ...]:
    """Return the channel names of another system in its own order and spelling (see `ORDERS`)."""
    if name not in ORDERS:
        raise unknown("channel order", name, ORDERS)
    return ORDERS[name]()


def _arkit() -> tuple[str, ...]:
    return load_rig("arkit52").channels


def _livelink_udp() -> tuple[str, ...]:
    return (*map(pascal, _arkit()), *ROTATIONS)


def _livelink_csv() -> tuple[str, ...]:
    """Live Link Face's files exchange two pairs against its own packets."""
    names = list(_livelink_udp())
    for left, right in (("JawLeft", "JawRight"), ("MouthLeft", "MouthRight")):
        a, b = names.index(left), names.index(right)
        names[a], names[b] = names[b], names[a]
    return tuple(names)


def _mediapipe() -> tuple[str, ...]:
    return ("_neutral", *_alphabetical_51())


def _alphabetical_51() -> tuple[str, ...]:
    return tuple(name for name in sorted(_arkit()) if name != "tongueOut")


ORDERS: dict[str, Callable[[], tuple[str, ...]]] = {
    "arkit": _arkit,
    "alphabetical": lambda: tuple(sorted(_arkit())),
    "alphabetical_51": _alphabetical_51,
    "mediapipe": _mediapipe,
    "livelink_udp": _livelink_udp,
    "livelink_csv": _livelink_csv,
    "a2f": lambda: tuple(map(pascal, _arkit())),
    "a2f_68": lambda: (*map(pascal, _arkit()), *A2F_TONGUE),
    "azure": lambda: (*_arkit(), "headRoll", "leftEyeRoll", "rightEyeRoll"),
}
"""Orders of other systems by name; digests of all of them are golden tests."""
