"""Meshes: masks lie where they should, gaps open and close, ICT-FaceKit's layout is read and what lacks is told."""

from pathlib import Path

import numpy as np
import pytest

from expclip import mesh
from expclip.errors import BadRequestError
from expclip.rig import load_rig

RIG = load_rig()


def write_ict(folder: Path, vertices: int = mesh.ICT_FACE, without: str = "") -> Path:
    """A folder in ICT-FaceKit's layout: vertices within 1 mm; jawOpen and browInnerUp move vertex 5533 up by 1 cm."""
    folder.mkdir(parents=True)
    rest = np.random.default_rng(0).uniform(0, 0.1, (vertices, 3))

    def save(name: str, points: np.ndarray) -> None:
        lines = "".join(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in points)
        (folder / name).write_text(f"# made for a test\n{lines}f 1 2 3\n")

    save(mesh.ICT_NEUTRAL, rest)
    moved = rest.copy()
    moved[5533, 1] += 1
    for channel in RIG.channels:
        for name in mesh.ict_names(channel):
            if name != without:
                save(f"{name}.obj", moved if channel in ("jawOpen", "browInnerUp") else rest)
    return folder


def test_our_own_masks_hold_lips_and_brows_and_nothing_hidden() -> None:
    own = mesh.own()
    assert (len(own.lips), len(own.upper), len(own.face)) == (595, 1474, 6327)
    smile, brows = RIG.weights({"mouthSmileLeft": 1})[None], RIG.weights({"browInnerUp": 1})[None]
    moves = {
        name: [np.linalg.norm(own.moved(w, part), axis=-1).max() for part in ("lips", "upper")]
        for name, w in (("smile", smile), ("brows", brows))
    }
    assert moves["smile"][0] > 10 > 5 > moves["smile"][1]  # cheeks reach the lower lids
    assert moves["brows"][1] > 5 > 0.5 > moves["brows"][0]
    assert set(own.inner_lips) <= set(own.lips.tolist())
    mirrored = own.vertices_V3[own.lips] * [-1, 1, 1]
    away = np.linalg.norm(own.vertices_V3[own.lips][:, None] - mirrored[None], axis=-1).min(0)
    assert away.max() < 1e-3


def test_the_lip_gap_opens_with_the_jaw_and_is_never_below_zero() -> None:
    own = mesh.own()
    frames = np.stack([RIG.zeros(), RIG.weights({"jawOpen": 1}), RIG.weights({"jawOpen": 1, "mouthClose": 1})])
    rest, opened, closed = own.lip_gap(frames)
    assert 0 <= rest < 0.5
    assert opened > 20
    assert 0 <= closed < 0.5
    assert (own.lip_gap(RIG.weights({"mouthClose": 1})[None]) == 0).all()


@pytest.mark.parametrize(
    ("channel", "names"),
    [
        ("mouthSmileLeft", ("mouthSmile_L",)),
        ("jawOpen", ("jawOpen",)),
        ("jawLeft", ("jawLeft",)),
        ("browInnerUp", ("browInnerUp_L", "browInnerUp_R")),
        ("tongueOut", ()),
    ],
)
def test_channels_have_their_ict_names(channel: str, names: tuple[str, ...]) -> None:
    assert mesh.ict_names(channel) == names


def test_an_ict_folder_is_read_in_millimetres(tmp_path: Path) -> None:
    folder = write_ict(tmp_path / "ict" / "FaceXModel")
    (folder / "mouthLeft.obj").rename(folder / "mouth_L.obj")
    made = mesh.load(str(tmp_path / "ict"))
    assert (made.name, made.deltas_CV3.shape) == ("ICT-FaceKit", (52, mesh.ICT_FACE, 3))
    assert made.deltas_CV3[RIG.index("jawOpen"), 5533].tolist() == pytest.approx([0, 10, 0], abs=0.01)
    assert made.deltas_CV3[RIG.index("browInnerUp"), 5533, 1] == pytest.approx(20, abs=0.01)  # both halves
    assert np.abs(made.deltas_CV3[RIG.index("tongueOut")]).max() == 0
    rest, opened = made.lip_gap(np.stack([RIG.zeros(), RIG.weights({"jawOpen": 0.5})]))
    assert opened - rest == pytest.approx(5, abs=1)
    assert len(made.lips) == mesh.ICT_FACE  # all lie within 5 mm of the landmarks


def test_what_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"is no ICT-FaceKit: it holds no generic_neutral_mesh\.obj"):
        mesh.load(str(tmp_path))
    lacking = write_ict(tmp_path / "a", without="mouthSmile_L")
    with pytest.raises(BadRequestError, match="lacks 1 shapes of ICT-FaceKit: mouthSmile_L"):
        mesh.load(str(lacking))
    few = write_ict(tmp_path / "b", vertices=100 + 5533)
    with pytest.raises(BadRequestError, match="5633 vertices; ICT-FaceKit's face has 9409"):
        mesh.load(str(few))
    (lacking / "mouthSmile_L.obj").write_text("v 1 2 3\n")
    with pytest.raises(BadRequestError, match=r"mouthSmile_L\.obj has 1 vertices"):
        mesh.load(str(lacking))
    (lacking / "mouthSmile_L.obj").write_text("v one two three\n")
    with pytest.raises(BadRequestError, match="no Wavefront file"):
        mesh.load(str(lacking))
    with pytest.raises(BadRequestError, match="no such file"):
        mesh.load(str(tmp_path / "gone.npz"))
    np.savez(tmp_path / "other.npz", vertices=np.zeros(3))
    with pytest.raises(BadRequestError, match="holds no head"):
        mesh.load(str(tmp_path / "other.npz"))


def test_the_real_ict_head_has_the_published_masks(shared_data: Path) -> None:
    path = shared_data / "head" / "ict_head_arkit52.npz"
    if not path.exists():
        pytest.skip("no ICT head among the test material")
    made = mesh.load(str(path))
    assert (len(made.lips), len(made.upper)) == (844, 1506)
    frames = np.stack([RIG.zeros(), RIG.weights({"jawOpen": 1}), RIG.weights({"jawOpen": 1, "mouthClose": 1})])
    assert made.lip_gap(frames).tolist() == pytest.approx([0.8, 33.5, 0], abs=0.05)
    largest = np.linalg.norm(made.moved(RIG.weights({"jawOpen": 0.1})[None], "face"), axis=-1).max()
    assert largest == pytest.approx(4.2, abs=0.05)
