"""FACS action units <-> weights, both ways, and action units as a fixed vector for the models.

An expression in action units is a mapping `{"AU12": 0.6, "AU2L": 0.3}`: intensity 0..1, `L`/`R` the subject's
own side, no side meaning both. Which shapes a unit drives is data of the rig (`rigs/arkit52.toml`).
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np

from expclip.errors import BadRequestError, unknown
from expclip.rig import FloatArray, Rig, load_rig

_CODE = re.compile(r"(AU\d+)([LR]?)")
_SIDES = {"L": "Left", "R": "Right"}
_ACTIVE = 0.05
"""Intensities below this are not written: FACS has no finer degree than a trace."""


def parse(code: str, rig: Rig | None = None) -> tuple[str, str]:
    """Split `AU12L` into (`AU12`, `L`); raises BadRequestError for a unit the rig does not know."""
    rig = rig or load_rig()
    match = _CODE.fullmatch(code)
    if match is None or match[1] not in rig.action_units:
        raise unknown("action unit", code, rig.action_units)
    return match[1], match[2]


@cache
def units(rig: Rig | None = None) -> tuple[str, ...]:
    """Return the names of the unit vector's places: every action unit, twice (L, R).

    Units without sides keep both places, so that a one-sided annotation of them is not lost.
    """
    return tuple(f"{code}{side}" for code in (rig or load_rig()).action_units for side in "LR")


def to_vector(action_units: Mapping[str, float], rig: Rig | None = None) -> FloatArray:
    """Return intensities (U,) in the order of `units()`.

    Raises BadRequestError for an unknown unit or a value outside 0..1.
    """
    vector_U = np.zeros(len(units(rig)), np.float32)
    for code, value in action_units.items():
        base, side = parse(code, rig)
        if not 0 <= value <= 1:
            raise BadRequestError(f"intensity {value!r} of {code} is outside 0..1")
        for s in side or "LR":
            vector_U[units(rig).index(base + s)] = value
    return vector_U


def from_vector(vector_U: FloatArray, rig: Rig | None = None, *, threshold: float = _ACTIVE) -> dict[str, float]:
    """Return the units of a vector whose intensity reaches `threshold`, strongest first.

    Sides that differ by less than a fifth of the stronger one are written as one unit without a side.
    """
    found: dict[str, float] = {}
    for k in range(0, len(vector_U), 2):
        base = units(rig)[k][:-1]
        left, right = float(vector_U[k]), float(vector_U[k + 1])
        if abs(left - right) <= 0.2 * max(left, right):
            found[base] = (left + right) / 2
        else:
            found[base + "L"], found[base + "R"] = left, right
    kept = {code: round(value, 3) for code, value in found.items() if value >= threshold}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))


@cache
def matrix(rig: Rig | None = None) -> FloatArray:
    """Return (U, C): how strongly each place of the unit vector drives each channel."""
    rig = rig or load_rig()
    matrix_UC = np.zeros((len(units(rig)), len(rig)), np.float32)
    for row, code in enumerate(units(rig)):
        base, side = code[:-1], code[-1]
        for shape, strength in rig.action_units[base].shapes.items():
            matrix_UC[row, rig.index(shape.replace("*", _SIDES[side]))] = strength
    return matrix_UC


def to_weights(action_units: Mapping[str, float], rig: Rig | None = None) -> FloatArray:
    """Return weights (C,) in 0..1 for an expression in action units."""
    return vector_to_weights(to_vector(action_units, rig), rig)


def vector_to_weights(vector_U: FloatArray, rig: Rig | None = None) -> FloatArray:
    """Return weights (..., C) for unit vectors (..., U).

    A weight is the maximum, not the sum, over the units that drive its shape. A shape without sides
    (browInnerUp) takes the mean of the unit's two sides.
    """
    pairs = vector_U.reshape(*vector_U.shape[:-1], -1, 2)
    mean = pairs.mean(-1, keepdims=True).repeat(2, -1)
    sided = np.array([unit.sided for unit in (rig or load_rig()).action_units.values()])
    effective = np.where(sided[:, None], pairs, mean).reshape(vector_U.shape)
    weights = (effective[..., :, None] * matrix(rig)).max(-2)
    return np.asarray(np.clip(weights, 0, 1), np.float32)


def from_weights(weights_C: FloatArray, rig: Rig | None = None) -> dict[str, float]:
    """Return the action units (strongest first) that an expression in weights shows.

    Each unit's intensity is the smallest over the shapes it drives, so that all must be present. Units that
    share a shape with a clearer one are never returned (`inverse.skip` of the rig); jawOpen is read as AU25,
    AU26 or AU27 by its depth; channels that no unit drives are not described.
    """
    rig = rig or load_rig()
    vector_U = np.zeros(len(units(rig)), np.float32)
    for row, code in enumerate(units(rig)):
        if code[:-1] not in rig.inverse_skip:
            driven = np.flatnonzero(matrix(rig)[row])
            vector_U[row] = min(1.0, float((weights_C[driven] / matrix(rig)[row, driven]).min()))
    return from_vector(_one_jaw_unit(vector_U, float(weights_C[rig.index("jawOpen")]), rig), rig)


_JAW = {"AU25": 0.15, "AU26": 0.6, "AU27": 1.0}


def _one_jaw_unit(vector_U: FloatArray, jaw: float, rig: Rig) -> FloatArray:
    """Keep only the jaw unit whose depth fits: lips part, jaw drop or mouth stretch."""
    depth = {code: rig.action_units[code].shapes["jawOpen"] for code in _JAW}
    chosen = next((code for code in _JAW if jaw <= depth[code] + 1e-6), "AU27")
    for code in _JAW:
        for side in "LR":
            vector_U[units(rig).index(code + side)] = min(1.0, jaw / depth[code]) if code == chosen else 0.0
    return vector_U


def describe(action_units: Mapping[str, float], rig: Rig | None = None) -> list[str]:
    """Return a phrase for each unit, such as `marked lip corner puller (own left)`."""
    phrases = []
    for code, value in action_units.items():
        base, side = parse(code, rig)
        where = f" (own {_SIDES[side].lower()})" if side else ""
        phrases.append(f"{degree(value)} {(rig or load_rig()).action_units[base].name}{where}")
    return phrases


def degree(intensity: float) -> str:
    """Return the FACS word for an intensity 0..1: trace, slight, marked, pronounced, severe, maximum."""
    words: Iterable[tuple[float, str]] = (
        (0.15, "trace"), (0.35, "slight"), (0.55, "marked"), (0.75, "pronounced"), (0.95, "severe"),
    )  # fmt: skip
    return next((word for limit, word in words if intensity < limit), "maximum")
