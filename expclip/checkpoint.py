"""Checkpoints: a folder of weights (safetensors), `config.json`, the rig and the provenance; local or s3://.

`config.json` names the format, the rig with its digest, one table of sizes a model and where they came from.
Loading refuses another format or rig. Only trained tensors are stored; a frozen tower is named by its source.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from expclip import storage
from expclip.errors import BadRequestError, unknown
from expclip.rig import Rig, load_rig

if TYPE_CHECKING:
    import torch

FORMAT = 1
CONFIG = "config.json"
PARTS = ("expclip", "generator", "critic", "evaluator", "faceformer")


@dataclass(frozen=True, eq=False)
class Part:
    """One model's share of a checkpoint: the sizes it is built from and its trained tensors."""

    config: Mapping[str, Any]
    tensors: "Mapping[str, torch.Tensor]"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint folder holds."""

    path: str
    rig: Rig
    parts: Mapping[str, Part]
    provenance: Mapping[str, Any]
    digest: str
    """16 hex digits over the weights and sizes."""

    def part(self, name: str) -> Part:
        """Return the part of that name (`PARTS`); raises BadRequestError if this checkpoint lacks it."""
        if name not in self.parts:
            raise BadRequestError(f"checkpoint {self.path} has no {name!r}; it has: {', '.join(self.parts)}")
        return self.parts[name]


def default_path() -> str:
    """Return the folder of the checkpoint that ships with the package."""
    return str(resources.files("expclip") / "checkpoints" / "base")


def check(folder: str | None = None) -> str:
    """Return the folder (default: the one that ships); raises BadRequestError if there is no checkpoint in it."""
    path = folder or default_path()
    if not storage.exists(storage.join(path, CONFIG)):
        raise BadRequestError(f"no such checkpoint: {path} (a folder with {CONFIG})")
    return path


def fingerprint(folder: str | None = None) -> str:
    """Return 16 hex digits over all files of a checkpoint, without loading a model."""
    digest = hashlib.sha256()
    for path in storage.listing(check(folder)):
        digest.update(path.rsplit("/", 1)[-1].encode() + hashlib.sha256(storage.read_bytes(path)).digest())
    return digest.hexdigest()[:16]


def save(folder: str, parts: Mapping[str, Part], provenance: Mapping[str, Any], rig: Rig | None = None) -> None:
    """Write a checkpoint. `config.json` comes last, so that a folder without it is no checkpoint.

    Floating tensors are stored as float16 (models compute in float32).
    """
    from safetensors.torch import save as dump_tensors

    rig = rig or load_rig()
    for name in parts:
        if name not in PARTS:
            raise unknown("checkpoint part", name, PARTS)
    storage.remove(storage.join(folder, CONFIG))
    for name, part in parts.items():
        tensors = {k: _stored(v) for k, v in part.tensors.items()}
        storage.write_bytes(storage.join(folder, f"{name}.safetensors"), dump_tensors(tensors))
    config = {
        "format": FORMAT,
        "rig": {"name": rig.name, "digest": rig.digest, "channels": rig.channels},
        "parts": {name: dict(part.config) for name, part in parts.items()},
        "provenance": dict(provenance),
    }
    storage.write_bytes(storage.join(folder, CONFIG), json.dumps(config, indent=1).encode() + b"\n")


def load(folder: str | None = None) -> Checkpoint:
    """Return the content of a checkpoint folder (default: the one that ships), tensors as float32.

    Raises BadRequestError if there is none, or if its format or rig is not ours.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

    path = check(folder)
    config_path = storage.join(path, CONFIG)
    content = storage.read_bytes(config_path)
    try:
        config = json.loads(content)
        version, rig_table, tables = config["format"], config["rig"], config["parts"]
    except (ValueError, KeyError, TypeError):
        raise BadRequestError(f"{config_path} is not a checkpoint's configuration") from None
    if version != FORMAT:
        raise BadRequestError(f"checkpoint {path} has format {version!r}; this version reads {FORMAT}")
    rig = load_rig(rig_table["name"])
    if rig.digest != rig_table["digest"]:
        raise BadRequestError(f"checkpoint {path} was made for another order of rig {rig.name}")
    digest = hashlib.sha256(json.dumps(tables, sort_keys=True).encode())
    parts = {}
    for name, table in tables.items():
        raw = storage.read_bytes(storage.join(path, f"{name}.safetensors"))
        digest.update(raw)
        try:
            tensors = load_tensors(raw)
        except SafetensorError as error:
            raise BadRequestError(f"checkpoint {path}: {name}.safetensors is damaged: {error}") from None
        parts[name] = Part(table, {k: _computed(v) for k, v in tensors.items()})
    return Checkpoint(path, rig, parts, config.get("provenance", {}), digest.hexdigest()[:16])


def _stored(tensor: "torch.Tensor") -> "torch.Tensor":
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() else tensor


def _computed(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor.float() if tensor.is_floating_point() else tensor
