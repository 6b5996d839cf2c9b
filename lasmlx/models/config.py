"""Strict configurations: a frozen dataclass a family, to and from plain dictionaries."""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import Any, ClassVar, Self, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration has an unknown key or a value out of range."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What a model of one family is made of. Subclasses add fields and validate them in ``__post_init__``."""

    model_type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML, ``model_type`` first; infinity is written ``"inf"``."""
        fields = dataclasses.asdict(self)
        return {"model_type": self.model_type} | {k: "inf" if v == math.inf else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The reverse of :meth:`to_dict`.

        Raises:
            ConfigError: a key is unknown (near misses are named), or a value has the wrong type or range.
        """
        values = {k: v for k, v in values.items() if k != "model_type"}
        return build(cls, values, f"a {cls.model_type} model")


def build(cls: type[T], values: dict[str, Any], what: str) -> T:
    """Make a dataclass of a dictionary, checking every key and the type of every value against its default's.

    Raises:
        ConfigError: naming the key, what it got and what it takes.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    checked = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(fields)}."
            raise ConfigError(f"{what} has no setting {key!r}; {hint}")
        checked[key] = _coerce(key, value, fields[key].default, what)
    return cls(**checked)


def _coerce(key: str, value: Any, default: Any, what: str) -> Any:
    if value == "inf" and isinstance(default, float):
        return math.inf
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(value, bool) and isinstance(default, bool)
    elif isinstance(default, float):
        fits = isinstance(value, int | float)
    elif isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and len(value) == len(default)
        fits = fits and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    else:
        fits = isinstance(value, type(default))
    if not fits:
        raise ConfigError(f"{what}: {key} is {value!r}, expected {_kind(default)} such as {default!r}.")
    return float(value) if isinstance(default, float) else tuple(value) if isinstance(default, tuple) else value


def _kind(default: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a word", tuple: "a list"}
    return names.get(type(default), type(default).__name__)


def expect(what: str, name: str, value: object, holds: bool, expected: str) -> None:
    """Raise :class:`ConfigError` saying what ``name`` was and what it should be, unless ``holds``."""
    if not holds:
        raise ConfigError(f"{what}: {name} is {value!r}, expected {expected}.")


VOCABULARIES = {"bytes": 256, "gpt2": 50257, "sentencepiece": 0}  # tokens; 0: as many as were learnt


def expect_vocabulary(what: str, tokenizer: str, vocab: int) -> None:
    """Raise :class:`ConfigError` unless the tokenizer is known and has so many tokens."""
    expect(what, "tokenizer", tokenizer, tokenizer in VOCABULARIES, f"one of {', '.join(VOCABULARIES)}")
    size = VOCABULARIES[tokenizer] or vocab
    expect(what, "vocab", vocab, vocab == size and size >= 1, f"{size} for {tokenizer}")
