"""Liquid sequence models on Apple silicon. Import before ``mlx.core``: on Linux this brings MLX a fast BLAS.

The names below are imported when first used, so that ``import lasmlx`` and ``las --help`` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lasmlx._blas import BLAS as BLAS

if TYPE_CHECKING:
    from lasmlx.data import load_corpus as load_corpus
    from lasmlx.models import LAS as LAS
    from lasmlx.models import LASConfig as LASConfig
    from lasmlx.models import LiquidMambaKAN as LiquidMambaKAN
    from lasmlx.models import MambaConfig as MambaConfig
    from lasmlx.models import MambaLM as MambaLM
    from lasmlx.models import PlasticLM as PlasticLM
    from lasmlx.models import PlasticLMConfig as PlasticLMConfig
    from lasmlx.models import load as load
    from lasmlx.models import make_model as make_model
    from lasmlx.ops import causal_conv1d as causal_conv1d
    from lasmlx.ops import plastic_scan as plastic_scan
    from lasmlx.ops import selective_scan as selective_scan
    from lasmlx.stream import NativeModel as NativeModel
    from lasmlx.stream import generate as generate  # type: ignore[no-redef]
    from lasmlx.train import TrainConfig as TrainConfig

_HOME = {
    "LAS": "lasmlx.models",
    "LASConfig": "lasmlx.models",
    "LiquidMambaKAN": "lasmlx.models",
    "MambaConfig": "lasmlx.models",
    "MambaLM": "lasmlx.models",
    "NativeModel": "lasmlx.stream",
    "PlasticLM": "lasmlx.models",
    "PlasticLMConfig": "lasmlx.models",
    "TrainConfig": "lasmlx.train",
    "causal_conv1d": "lasmlx.ops",
    "generate": "lasmlx.stream",
    "load": "lasmlx.models",
    "load_corpus": "lasmlx.data",
    "make_model": "lasmlx.models",
    "plastic_scan": "lasmlx.ops",
    "selective_scan": "lasmlx.ops",
}
_PACKAGES = ("benchmark", "data", "layers", "models", "ops", "stream", "train", "viz")

__all__ = ["BLAS", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _PACKAGES:
        value = import_module(f"lasmlx.{name}")
    elif name == "__version__":
        value = import_module("importlib.metadata").version("lasmlx")
    else:
        raise AttributeError(f"module 'lasmlx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
