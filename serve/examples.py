"""What the service's OpenAPI description says beyond types."""

from collections.abc import Mapping
from typing import Any

from serve.animate import FORMATS
from serve.problems import KINDS

DESCRIPTION = """Speech and a style in words become facial animation on the 52 ARKit blendshapes.

A **style** is a text, or an object with one of `prompt`, `emotion`, `action_units`, `weights`, `image` (base64) or
`mix`, and `intensity` (0..1.5). A list of such objects with `at` (seconds) and `transition` (seconds) is a style that
changes. Live sound goes through the websocket `/v1/stream`, which README.md of the service describes.
"""

PROBLEM: dict[str, Any] = {
    "description": "A problem (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string", "enum": [f"urn:expclip:{kind}" for kind in KINDS]},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "instance": {"type": "string"},
                },
            },
            "example": {
                "type": "urn:expclip:bad-request",
                "title": "The request cannot be understood",
                "status": 400,
                "detail": "the prompt is empty; say a feeling, such as 'a shy smile'",
            },
        }
    },
}

STYLES: Mapping[str, Any] = {
    "text": {"value": "a shy smile, eyes lowered"},
    "emotion": {"value": {"emotion": "joy", "intensity": 0.7}},
    "action units": {"value": {"action_units": {"AU6": 0.6, "AU12": 0.8}}},
    "weights": {"value": {"weights": {"mouthSmileLeft": 0.5, "browInnerUp": 0.3}}},
    "mix": {"value": {"mix": [{"prompt": "proud", "share": 2}, {"prompt": "exhausted", "share": 1}]}},
}

_SCHEMA: dict[str, Any] = {
    "style": {
        "type": "string",
        "description": "A text, or a style or track as JSON",
        "example": "barely holding back tears",
    },
    "fps": {"type": "number", "minimum": 1, "maximum": 240, "default": 30},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "default": 0, "description": "Decides the blinks"},
    "format": {"type": "string", "enum": list(FORMATS), "description": "Or by `Accept`"},
    "model": {"type": "string", "description": "One of /v1/models"},
    "postprocess": {"type": "string", "description": "Switches as JSON", "example": '{"blinks": false}'},
}
_BINARY = {"type": "string", "format": "binary"}
_SOUND = ("audio/wav", "audio/flac", "audio/mpeg", "audio/ogg", "audio/mp4", "application/octet-stream")

ANIMATE: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "schema": {k: v for k, v in schema.items() if k != "description"},
         "description": schema.get("description", "")}
        for name, schema in _SCHEMA.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio"],
                    "properties": {"audio": _BINARY, "image": _BINARY, **_SCHEMA},
                }
            },
            **{kind: {"schema": _BINARY} for kind in _SOUND},
        },
    },
    "responses": {
        "200": {"description": "The animation", "content": {kind: {} for kind in FORMATS.values()}},
        "406": PROBLEM,
    },
}  # fmt: skip

STYLE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": ["object", "string"]}, "examples": dict(STYLES)}},
    }
}
