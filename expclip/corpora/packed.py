"""Files within a .tar or a stored or deflated .zip, local or s3://: an index once a process, then single reads.

Nothing stays open, and nothing is unpacked but the member that is asked for.
"""

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from expclip import storage
from expclip.corpora.tree import stem
from expclip.errors import BadRequestError

_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a zip's member: signature, lengths of its name and of its extra field."""


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int  # bytes as they lie in the archive
    zipped: bool = False
    deflated: bool = False


def names(path: str) -> list[str]:
    """Return the paths of the files in an archive; raises BadRequestError if it is none."""
    return [member.name for member in _index(path, storage.stamp(path)).values()]


def read(path: str, name: str) -> bytes:
    """Return the content of the file of an archive that has this stem; raises BadRequestError if there is none."""
    member = _index(path, storage.stamp(path)).get(name)
    if member is None:
        raise BadRequestError(f"{path} holds no {name}")
    with storage.open_read(path) as file:
        start = member.offset
        if member.zipped:
            file.seek(start)
            signature, before, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            start += _LOCAL_HEADER.size + before + extra
            if signature != b"PK\x03\x04":
                raise BadRequestError(f"{path}: {member.name} is broken")
        file.seek(start)
        content = file.read(member.size)
    try:
        return zlib.decompress(content, -zlib.MAX_WBITS) if member.deflated else content
    except zlib.error as error:
        raise BadRequestError(f"{path}: {member.name} is broken ({error})") from None


@lru_cache(4)
def _index(path: str, stamp: str) -> Mapping[str, _Member]:
    """Return the members of an archive by stem."""
    try:
        with storage.open_read(path) as file:
            if path.lower().endswith(".zip"):
                with zipfile.ZipFile(file) as archive:
                    return {stem(info.filename): _of_zip(info) for info in archive.infolist() if not info.is_dir()}
            with tarfile.open(fileobj=file, mode="r:") as packed:
                return {stem(i.name): _Member(i.name, i.offset_data, i.size) for i in packed if i.isfile()}
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise BadRequestError(f"{path} cannot be read as an archive: {error}") from None


def _of_zip(info: zipfile.ZipInfo) -> _Member:
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return _Member(info.filename, info.header_offset, info.compress_size, zipped=True, deflated=deflated)
