"""A tiny random CLIP with its tokenizer, saved as transformers saves it, and a tiny Whisper encoder."""

import json

import pytest


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a CLIP of one layer on both sides."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocab = {token: k for k, token in enumerate([*letters, "ha", "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nh a\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(vocab), "eos_token_id": vocab["<|endoftext|>"], "max_position_embeddings": 20}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Whisper encoder of one layer in one safetensors file."""
    from safetensors.torch import save_file
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    shape = WhisperConfig(
        d_model=64, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=16, max_source_positions=200
    )
    path = tmp_path_factory.mktemp("whisper") / "w.safetensors"
    save_file({k: v.contiguous() for k, v in WhisperEncoder(shape).state_dict().items()}, path)
    return str(path)


@pytest.fixture(scope="session")
def face_corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six clips of 3 s of two speakers: bursts of noise with a B before each, and a face whose jaw follows the sound.

    Four are for training, one is a neutral test clip, one a test clip acted as happy, whose brow is measured, too.
    """
    import numpy as np

    from expclip import corpora, media
    from expclip.rig import load_rig
    from expclip.schema import CLIPS, TRACKS

    folder, rig = tmp_path_factory.mktemp("toys") / "toy", load_rig()
    random, rows, tracks = np.random.default_rng(0), [], []
    for k in range(6):
        loud_T = (np.sin(np.arange(150) / (5 + k)) > 0).astype(np.float32)
        sound = (0.2 * np.repeat(loud_T, 320) * random.standard_normal(48_000)).astype(np.float32)
        media.write_audio(str(folder / "audio" / f"c{k}.wav"), sound)
        weights_TC = rig.zeros(150)
        weights_TC[:, rig.index("jawOpen")] = 0.4 * np.convolve(loud_T, np.ones(5) / 5, "same")
        weights_TC[:, rig.index("browInnerUp")] = 0.5 * (k == 5)
        weights_TC[:, rig.index("mouthPucker")] = 0.9  # not in the mask: not known
        starts = np.flatnonzero(np.diff(loud_T) > 0) / 50
        rows.append(dict.fromkeys(CLIPS.names, "") | {
            "clip_id": f"c{k}", "corpus": "toy", "speaker": f"s{k % 2}", "split": "test" if k > 3 else "train",
            "audio": f"audio/c{k}.wav", "start": 0.0, "end": float("nan"),
            "phones": json.dumps([[float(s), float(s) + 0.06, "B"] for s in starts]),
            "emotion": "happiness" if k == 5 else "neutral", "prompt": "very happy" if k == 5 else "",
        })  # fmt: skip
        tracks.append({
            "clip_id": f"c{k}", "fps": 50.0, "weights": list(weights_TC), "valid": [True] * 140 + [False] * 10,
            "mask": ["jawOpen", "browInnerUp"], "extractor": "toy",
        })  # fmt: skip
    corpora.write_table(str(folder / "clips" / "0.parquet"), rows, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return str(folder)


@pytest.fixture(scope="session")
def few_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder with the first sixty records of TEAD, of every split."""
    from importlib import resources

    lines = (resources.files("expclip") / "data" / "tead" / "A.jsonl").read_text("utf-8").splitlines()
    folder = tmp_path_factory.mktemp("few")
    (folder / "A.jsonl").write_text("\n".join(lines[:60]) + "\n", "utf-8")
    return str(folder)
