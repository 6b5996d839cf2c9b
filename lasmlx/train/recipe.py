"""Recipes: a model, how to train it and on what, in one TOML file. Those that ship are the presets."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from lasmlx.models import Config, ConfigError, config_from_dict
from lasmlx.models.config import build
from lasmlx.train.config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """What ``las train`` needs to know."""

    name: str
    model: Config
    train: TrainConfig
    data: tuple[str, ...]
    description: str = ""

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> Recipe:
        """From the tables ``model`` and ``train`` and the keys ``data`` and ``description``.

        Raises:
            ConfigError: a table, key or value is wrong.
        """
        unknown = values.keys() - {"model", "train", "data", "description"}
        if unknown:
            raise ConfigError(f"{name} has no table {min(unknown)!r}; it takes model, train, data, description.")
        data = values.get("data", ["moby-dick"])
        return cls(
            name,
            config_from_dict(values.get("model", {})),
            build(TrainConfig, values.get("train", {}), "training"),
            (data,) if isinstance(data, str) else tuple(data),
            values.get("description", ""),
        )

    def to_dict(self) -> dict[str, Any]:
        """The reverse of :meth:`from_dict`."""
        return {"model": self.model.to_dict(), "train": self.train.to_dict(), "data": list(self.data)}

    def replace(self, settings: Mapping[str, Any]) -> Recipe:
        """With some settings changed: ``d``, ``model.d``, ``lr``, ``train.lr``, ...

        Raises:
            ConfigError: a key is unknown (near misses are named) or a value wrong.
        """
        tables = {"model": self.model.to_dict(), "train": self.train.to_dict()}
        for key, value in settings.items():
            table, name = self._locate(key)
            tables[table][name] = value
        return dataclasses.replace(
            self, model=config_from_dict(tables["model"]), train=build(TrainConfig, tables["train"], "training")
        )

    def _locate(self, key: str) -> tuple[str, str]:
        names = {"model": self.model.to_dict(), "train": self.train.to_dict()}
        table, _, name = key.rpartition(".")
        for candidate in [table] if table else ["model", "train"]:
            if name in names.get(candidate, {}):
                return candidate, name
        every = [*names["model"], *names["train"], *(f"{t}.{n}" for t in names for n in names[t])]
        near = [f"{t}.{name}" for t in names if name in names[t]] or difflib.get_close_matches(key, every, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"settings are {', '.join(dict.fromkeys(every))}."
        raise ConfigError(f"{key!r} is no setting of {self.name}; {hint}")


def preset_names() -> tuple[str, ...]:
    """The presets that ship."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str | Path) -> Recipe:
    """A preset by its name, or a recipe from a TOML file.

    Raises:
        ConfigError: there is no such preset (near misses are named) or file, or it is wrong.
    """
    path: Any = Path(name)
    if str(name) in preset_names():
        path = _folder() / f"{name}.toml"
    elif path.suffix != ".toml":
        near = difflib.get_close_matches(str(name), preset_names(), n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"presets are {', '.join(preset_names())}."
        raise ConfigError(f"there is no preset {str(name)!r}; {hint} A recipe of your own goes to --config FILE.toml.")
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}.") from None
    return Recipe.from_dict(path.name.removesuffix(".toml"), values)


def _folder() -> Any:
    return files("lasmlx") / "presets"


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML with every setting, as :func:`load_recipe` reads it."""
    values = recipe.to_dict()
    lines = [f"description = {json.dumps(recipe.description)}", f"data = {json.dumps(values['data'])}"]
    for table in ("model", "train"):
        lines += ["", f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values[table].items())]
    return "\n".join(lines) + "\n"
