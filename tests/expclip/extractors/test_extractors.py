"""The table of extractors, one's own by module:attribute, and tracks that a corpus brought."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from expclip import corpora, extractors
from expclip.corpora import rows
from expclip.errors import BadRequestError
from expclip.extractors import Settings, Source
from expclip.rig import load_rig
from expclip.schema import TRACKS

JAW = load_rig().index("jawOpen")


def test_unknown_extractors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        BadRequestError, match="unknown extractor 'deep'; valid: mediapipe, precomputed, module:attribute"
    ):
        extractors.load("deep")
    with pytest.raises(BadRequestError, match="extractor 'no_such_module:make' cannot be loaded"):
        extractors.load("no_such_module:make")
    with pytest.raises(BadRequestError, match="extractor 'json:make' cannot be loaded"):
        extractors.load("json:make")


def test_ones_own_extractor_gets_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_tracker")
    module.make = lambda settings: settings.side  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_tracker", module)
    assert extractors.load("my_tracker:make", Settings(side=7)) == 7  # type: ignore[comparison-overlap]


@pytest.fixture
def brought(tmp_path: Path) -> str:
    """Tracks of two clips as an importer writes them."""
    for k in range(2):
        weights = load_rig().zeros(10)
        weights[:, JAW] = np.arange(10) / 20 + k / 10
        valid = np.arange(10) != 4
        track = rows.track_row(f"c{k}", weights, valid, ["jawOpen"], "somebody")
        corpora.write_table(str(tmp_path / f"{k}.parquet"), [track], TRACKS)
    return str(tmp_path)


def test_tracks_of_a_corpus_pass_as_one_face(brought: str) -> None:
    extractor = extractors.load("precomputed", Settings(tracks=brought))
    for k in (1, 0, 1):
        (face,) = extractor.measure(Source(f"c{k}", ""))
        np.testing.assert_allclose(face.time_T, np.arange(10) / 50)
        assert face.seen_T.tolist() == [n != 4 for n in range(10)]
        np.testing.assert_allclose(face.weights_TC[:4, JAW], np.arange(4) / 20 + k / 10, atol=1e-6)
        assert (face.mask, face.extractor) == (("jawOpen",), "somebody")
        assert np.isnan(face.pose_T6).all()
    with pytest.raises(BadRequestError, match="brought no track of c7"):
        extractor.measure(Source("c7", ""))


def test_the_version_follows_the_tracks(brought: str) -> None:
    before = extractors.load("precomputed", Settings(tracks=brought)).version
    assert before == extractors.load("precomputed", Settings(tracks=brought)).version
    (Path(brought) / "1.parquet").unlink()
    assert before != extractors.load("precomputed", Settings(tracks=brought)).version


def test_a_corpus_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no tracks in"):
        extractors.load("precomputed", Settings(tracks=str(tmp_path)))
