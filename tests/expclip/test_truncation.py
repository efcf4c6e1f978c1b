"""Files whose end is missing are refused, whole ones are not; whatever wrote them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from expclip import media
from expclip.errors import BadRequestError

SECONDS = 6.0
CONTAINERS = ("wav", "aiff", "flac", "ogg", "opus", "mp3", "m4a", "mkv", "webm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone in every container."""
    path = tmp_path_factory.mktemp("containers")
    tone = ("-f", "lavfi", "-i", f"sine=300:duration={SECONDS:g}", "-ar", "16000", "-ac", "1")
    for suffix in CONTAINERS:
        flags = ("-movflags", "+faststart") if suffix == "m4a" else ()
        subprocess.run([media.ffmpeg(), "-v", "error", *tone, *flags, str(path / f"tone.{suffix}")], check=True)
    return path


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_whole_file_is_read_and_half_of_it_refused(folder: Path, suffix: str) -> None:
    whole = folder / f"tone.{suffix}"
    assert len(media.read_audio(str(whole))) / media.SAMPLE_RATE == pytest.approx(SECONDS, abs=0.1)
    half = folder / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size * 11 // 20])
    with pytest.raises(BadRequestError, match=rf"half\.{suffix}: the file is truncated"):
        media.read_audio(str(half))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_whose_writer_knew_no_length_is_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "pipe.wav"
    media.write_audio(str(path), np.zeros(1600, np.float32))
    content = bytearray(path.read_bytes())
    content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(media.read_audio(str(path))) == 1600
