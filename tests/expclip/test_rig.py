"""Channel names, orders and sides."""

import numpy as np
import pytest

from expclip.errors import BadRequestError
from expclip.rig import is_rotation, load_rig, order, order_digest

RIG = load_rig()


@pytest.mark.parametrize(
    ("name", "length", "digest"),
    [
        ("arkit", 52, "a082b96dd18cfd66"),
        ("alphabetical", 52, "9585d1b9cf3548ca"),
        ("alphabetical_51", 51, "4592d6a488053c32"),
        ("mediapipe", 52, "fdd5a9a98a08d459"),
        ("livelink_udp", 61, "18e71be35d5cdcce"),
        ("livelink_csv", 61, "f3a40956f6850fd7"),
        ("a2f_68", 68, "381e3f7ba2b4f1fe"),
        ("azure", 55, "32694fc55543afa6"),
    ],
)
def test_orders_are_golden(name: str, length: int, digest: str) -> None:
    assert (len(order(name)), order_digest(order(name))) == (length, digest)


def test_livelink_file_and_packet_differ_in_two_pairs_only() -> None:
    pairs = zip(order("livelink_csv"), order("livelink_udp"), strict=True)
    assert [a for a, b in pairs if a != b] == ["JawRight", "JawLeft", "MouthRight", "MouthLeft"]


@pytest.mark.parametrize(
    "spelling", ["mouthSmileLeft", "MouthSmileLeft", "mouthSmile_L", "mouth_smile_left", "blendShapes.MouthSmileLeft"]
)
def test_every_spelling_is_one_channel(spelling: str) -> None:
    assert RIG.canonical(spelling) == "mouthSmileLeft"


def test_unknown_names_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(BadRequestError, match="'mouthSmirk'; valid: eyeBlinkLeft, "):
        RIG.index("mouthSmirk")
    with pytest.raises(BadRequestError, match="unknown rig 'flame'; valid: arkit52"):
        load_rig("flame")


def test_regions_are_disjoint_and_complete() -> None:
    columns = [k for region in RIG.regions for k in RIG.region(region)]
    assert sorted(columns) == list(range(52))


@pytest.mark.parametrize("name", ["arkit", "alphabetical", "mediapipe", "livelink_csv", "livelink_udp", "a2f", "azure"])
def test_a_ramp_survives_every_order(name: str) -> None:
    names = order(name)
    columns = {n: RIG.index(n) for n in names if n != "_neutral" and not is_rotation(n)}
    row = np.array([columns.get(n, 9.0) for n in names], np.float32)
    expected = np.array([k if k in columns.values() else 0 for k in range(52)], np.float32)
    np.testing.assert_array_equal(RIG.reorder(row[None], names)[0], expected)


def test_reorder_refuses_repeats_and_wrong_widths() -> None:
    with pytest.raises(BadRequestError, match="given twice"):
        RIG.reorder(np.zeros((1, 2)), ["jawOpen", "JawOpen"])
    with pytest.raises(BadRequestError, match="51 columns of weights but 52"):
        RIG.reorder(np.zeros((1, 51)), RIG.channels)


def test_mirror_is_its_own_inverse_and_changes_the_sides() -> None:
    weights = np.random.default_rng(0).random((3, 52), np.float32)
    np.testing.assert_array_equal(RIG.mirror(RIG.mirror(weights)), weights)
    mirrored = RIG.mirror(RIG.weights({"jawLeft": 0.3, "mouthLeft": 0.2, "eyeLookInLeft": 0.1, "jawOpen": 0.4}))
    expected = RIG.weights({"jawRight": 0.3, "mouthRight": 0.2, "eyeLookInRight": 0.1, "jawOpen": 0.4})
    np.testing.assert_array_equal(mirrored, expected)
