"""Settings of the service: defaults < a TOML file < arguments of `serve run` or of the deployment's YAML.

The file is named by EXPCLIP_SERVE_CONFIG. API keys come from EXPCLIP_API_KEYS or the file that `keys_file` names, never
from arguments, which Ray shows on its dashboard.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expclip import config
from expclip.errors import BadRequestError


@dataclass(frozen=True)
class Limits:
    """What one replica takes on; anything more is refused at once, with the time after which to come again."""

    body_mb: float = 25.0  # size of a request's body
    seconds: float = 600.0  # length of a request's sound
    requests: int = 8  # in work at once, in a replica
    timeout: float = 60.0  # seconds that a request may take, but for a long one's frames
    rate: float = 20.0  # requests and streams begun a second, by one key
    burst: int = 60  # of them at once
    streams: int = 40  # at once, in a replica
    streams_per_key: int = 40  # of them by one key
    stream_seconds: float = 3600.0  # length of a stream
    message_kb: float = 1024.0  # size of a stream's message
    idle: float = 30.0  # seconds that a stream may say nothing
    backlog: float = 5.0  # seconds of sound that a stream may run ahead of its frames
    unread: float = 20.0  # seconds of frames that a stream's client may leave unread
    drain: float = 50.0  # seconds that streams have to end after the notice that the replica stops
    retry_after: float = 2.0  # seconds told to those refused


@dataclass(frozen=True)
class Scaling:
    """Replicas; each is one process on `cpus` cores with its own models."""

    min_replicas: int = 1  # 0: to zero when nobody calls; the first call then waits for the start
    max_replicas: int = 4
    target: float = 20.0  # streams and requests that a replica should have
    cpus: float = 1.0  # reserved for a replica


@dataclass(frozen=True)
class Settings:
    """All of them."""

    models: Mapping[str, str] = field(
        default_factory=lambda: {"default": ""}
    )  # id -> checkpoint; "": the one that ships
    threads: int = 1  # of a forward pass
    tick: float = 0.02  # seconds between passes, at least
    keys_file: str = ""  # one API key a line; none there and none in EXPCLIP_API_KEYS: everybody may call
    limits: Limits = field(default_factory=Limits)
    scaling: Scaling = field(default_factory=Scaling)

    def __post_init__(self) -> None:
        if not self.models:
            raise BadRequestError("setting models is empty; at least one id = folder is needed")

    @property
    def default_model(self) -> str:
        """The model of requests that name none."""
        return next(iter(self.models))


def load(arguments: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings; arguments are `a.b: value`, or nested tables.

    Raises BadRequestError for an unknown one or one of another type.
    """
    arguments = arguments or {}
    sets = [f"{key}={value}" for key, value in arguments.items() if isinstance(value, str | int | float)]
    nested: dict[str, Any] = {key: value for key, value in arguments.items() if isinstance(value, Mapping)}
    return config.load(Settings, os.environ.get("EXPCLIP_SERVE_CONFIG") or None, sets=sets, **nested)
