"""What the tests of importers share: a sound, a face over time, and bringing a whole root in without Ray."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from expclip import corpora
from expclip.corpora import Options, Row, Source
from expclip.corpora.tree import Tree
from expclip.ingest import Ingester, peers, split_parts
from expclip.rig import load_rig


@dataclass
class Brought:
    """Rows by clip_id, and the error of each clip that has none."""

    clips: dict[str, Row] = field(default_factory=dict)
    tracks: dict[str, Row] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def notes(self, clip_id: str) -> dict[str, str]:
        """Kind of note -> detail."""
        text = self.clips[clip_id]["notes"]
        return dict(note.split(": ", 1) for note in text.split("; ")) if text else {}

    def channel(self, clip_id: str, name: str) -> np.ndarray[Any, Any]:
        """A channel of a track over time."""
        return np.asarray(self.tracks[clip_id]["weights"])[:, load_rig().index(name)]


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., Brought]:
    """Bring in all clips of a root, as the job does but one by one."""

    def run(corpus: str, root: Path, options: Options = Options()) -> Brought:  # noqa: B008 - frozen
        importer = corpora.load(corpus)
        sources: list[Source] = list(importer.clips(corpora.tree(importer, str(root), options), options))
        brought = Brought()
        if importer.parts:
            cut, whole = importer.parts, sources
            sources = []
            for source in whole:
                try:
                    sources += split_parts(source, cut(source))
                except Exception as error:
                    brought.errors[source.clip["clip_id"]] = str(error)
        ingester = Ingester(corpus, str(tmp_path / "out"), peers(sources))
        for source in sources:
            name = source.clip["clip_id"]
            assert name not in brought.clips
            try:
                brought.clips[name], track, _ = ingester(source)
            except Exception as error:
                brought.errors[name] = str(error)
                continue
            if track is not None:
                brought.tracks[name] = track
        return brought

    return run


@pytest.fixture
def refused() -> Callable[[str, Path], str]:
    """The one line with which a root is refused."""

    def run(corpus: str, root: Path) -> str:
        from expclip.errors import BadRequestError

        with pytest.raises(BadRequestError) as error:
            corpora.tree(corpora.load(corpus), str(root), Options())
        assert "\n" not in str(error.value)
        return str(error.value)

    return run


@pytest.fixture
def expressions() -> Callable[[str, Path], list[Row]]:
    """All rows of EXPRESSIONS of a root, broken ones included."""
    return lambda corpus, root: list(corpora.load(corpus).expressions(Tree.of(str(root))))


@pytest.fixture
def sound() -> Callable[..., None]:
    """Write `seconds` of noise that differs with the file's name."""

    def write(path: Path, seconds: float = 2.0, rate: int = 16_000, subtype: str = "PCM_16") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(sum(str(path).encode()))
        samples = 0.1 * random.standard_normal(round(seconds * rate)).astype(np.float32)
        soundfile.write(path, samples, rate, subtype=subtype)

    return write


@pytest.fixture
def face() -> Callable[..., np.ndarray[Any, Any]]:
    """Weights (T, N) by name: all channels breathe a little above their rest, the jaw opens from .5 to .9 s."""

    def make(names: tuple[str, ...], seconds: float, fps: float, **rest: float) -> np.ndarray[Any, Any]:
        time_T = np.arange(round(seconds * fps)) / fps
        phases_N = np.arange(len(names))
        weights_TN = 0.02 + 0.02 * np.sin(7 * time_T[:, None] + phases_N)
        for name, value in rest.items():
            weights_TN[:, names.index(name)] += value
        weights_TN[(time_T >= 0.5) & (time_T < 0.9), names.index("jawOpen")] += 0.5
        return weights_TN.astype(np.float32)

    return make
