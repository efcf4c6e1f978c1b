"""ExpCLIP: speech plus a prompt in plain words -> facial animation on ARKit blendshapes.

Importing this package loads neither torch nor ray; the names below are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expclip.animation import Animation as Animation
    from expclip.animator import Animator as Animator
    from expclip.animator import load as load
    from expclip.errors import BadRequestError as BadRequestError
    from expclip.rig import Rig as Rig
    from expclip.rig import load_rig as load_rig
    from expclip.style import Style as Style
    from expclip.style import blend as blend

__version__ = "0.1.0"

_HOME = {
    "Animation": "expclip.animation",
    "Animator": "expclip.animator",
    "BadRequestError": "expclip.errors",
    "Rig": "expclip.rig",
    "Style": "expclip.style",
    "blend": "expclip.style",
    "load": "expclip.animator",
    "load_rig": "expclip.rig",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'expclip' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
