"""From a model's type to its classes, and from a folder to a model."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from lasmlx.models.config import Config, ConfigError
from lasmlx.models.files import FileError
from lasmlx.models.las import LAS, LASConfig
from lasmlx.models.lnn import LNNConfig, make_lnn
from lasmlx.models.lstm import LSTMConfig, make_lstm
from lasmlx.models.mamba import MambaConfig, MambaLM
from lasmlx.models.mamba_kan import MambaKANConfig, make_mamba_kan
from lasmlx.models.model import CONFIG_FILE, WEIGHTS_FILE, Model
from lasmlx.models.plastic_lm import PlasticLM, PlasticLMConfig
from lasmlx.models.spiking_mamba import SpikingMambaConfig, make_spiking_mamba
from lasmlx.models.transformer import TransformerConfig, make_transformer

FAMILIES: dict[str, tuple[type[Config], Any]] = {
    "las": (LASConfig, LAS),
    "lnn": (LNNConfig, make_lnn),
    "lstm": (LSTMConfig, make_lstm),
    "mamba": (MambaConfig, MambaLM),
    "mamba-kan": (MambaKANConfig, make_mamba_kan),
    "plastic-lm": (PlasticLMConfig, PlasticLM),
    "spiking-mamba": (SpikingMambaConfig, make_spiking_mamba),
    "transformer": (TransformerConfig, make_transformer),
}


def config_from_dict(values: dict[str, Any]) -> Config:
    """The configuration that ``values`` (with its ``"model_type"``) describes.

    Raises:
        ConfigError: the type or a key is unknown, or a value out of range.
    """
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        near = difflib.get_close_matches(str(model_type), FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(FAMILIES)}."
        raise ConfigError(f"model_type {model_type!r} is unknown; {hint}")
    return FAMILIES[model_type][0].from_dict(values)


def make_model(config: Config) -> Any:
    """A freshly initialised model of the family that ``config`` belongs to."""
    return FAMILIES[config.model_type][1](config)


def load(folder: str | Path) -> Any:
    """The model saved in ``folder`` (a run directory or any that holds ``config.json`` and ``model.safetensors``).

    Raises:
        FileError: the folder, or a file in it, is missing, damaged or foreign.
        ConfigError: its configuration is.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder with a model in it.")
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileError(f"{folder} has no {CONFIG_FILE}: it is not a run or model folder.")
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is damaged ({error}).") from None
    if not isinstance(values, dict):
        raise FileError(f"{path} is damaged: it holds no JSON object.")
    model: Model = make_model(config_from_dict(values))
    return model.load_parameters(folder / WEIGHTS_FILE)
