"""Precomputed: the tracks that a corpus brought and `ingest` wrote beside its clips, passed on as one face a clip.

They go the same way as measured ones: resting face, gaps, rate and the offset against the sound.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from expclip import storage, tracks
from expclip.errors import BadRequestError
from expclip.extractors import Face, Settings, Source

if TYPE_CHECKING:
    import pyarrow as pa


def make(settings: Settings) -> "Precomputed":
    """Return the extractor; raises BadRequestError if the corpus brought no tracks."""
    files = storage.listing(settings.tracks, ".parquet") if settings.tracks else []
    if not files:
        raise BadRequestError(f"no tracks in {settings.tracks or 'the corpus'}: use another extractor")
    content = json.dumps(storage.fingerprints(files), sort_keys=True)
    return Precomputed(settings.tracks, f"precomputed {hashlib.sha256(content.encode()).hexdigest()[:8]}")


@dataclass
class Precomputed:
    """The extractor; it keeps the file it read last, because neighbouring clips lie in one."""

    folder: str
    version: str
    needs_video: bool = False
    _places: dict[str, str] | None = field(default=None, init=False, repr=False)
    _kept: "tuple[str, dict[str, pa.Table]] | None" = field(default=None, init=False, repr=False)

    def measure(self, source: Source) -> list[Face]:
        """Return the clip's own track; see `extractors.Extractor`."""
        if self._places is None:
            self._places = tracks.places(self.folder)
        if source.clip_id not in self._places:
            raise BadRequestError(f"the corpus brought no track of {source.clip_id}")
        path = self._places[source.clip_id]
        if self._kept is None or self._kept[0] != path:
            self._kept = (path, tracks.by_clip(tracks.read_file(path)))
        track = tracks.Track.of(self._kept[1][source.clip_id])
        nothing_T = np.full(len(track.weights_TC), np.nan, np.float32)
        return [
            Face(
                track.begin + np.arange(len(track.weights_TC)) / track.fps,
                np.where(track.valid_T[:, None], track.weights_TC, np.float32(np.nan)),
                track.pose_T6,
                *(nothing_T, nothing_T, nothing_T),
                mask=track.mask,
                extractor=track.extractor,
            )
        ]
