"""One family a file, and what they share."""

from lasmlx.models.byte_model import ByteModel, ByteState, Trace
from lasmlx.models.config import Config, ConfigError
from lasmlx.models.files import FileError
from lasmlx.models.las import LAS, LASConfig
from lasmlx.models.mamba import MambaConfig, MambaLM
from lasmlx.models.mamba_kan import LiquidMambaKAN, MambaKANConfig
from lasmlx.models.model import Model
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig
from lasmlx.models.registry import FAMILIES, config_from_dict, load, make_model

__all__ = [
    "FAMILIES",
    "LAS",
    "ByteModel",
    "ByteState",
    "Config",
    "ConfigError",
    "FileError",
    "LASConfig",
    "LiquidMambaKAN",
    "MambaConfig",
    "MambaKANConfig",
    "MambaLM",
    "Model",
    "PlasticLM",
    "PlasticLMConfig",
    "Trace",
    "config_from_dict",
    "load",
    "make_model",
]
