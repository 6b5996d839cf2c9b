"""Configurations: there and back through JSON, and strict about every key, type and range."""

import dataclasses
import json
import math
from typing import Any

import pytest

from lasmlx.models import FAMILIES, ConfigError, LASConfig, MambaConfig, config_from_dict


def test_round_trip_through_json(family: str) -> None:
    config = FAMILIES[family][0](d=24, dt_max=0.5, tied=True)
    values = json.loads(json.dumps(config.to_dict()))
    assert next(iter(values.items())) == ("model_type", family)
    assert config_from_dict(values) == config


def test_infinite_substeps_round_trip_through_strict_json() -> None:
    config = LASConfig(substeps=math.inf)
    text = json.dumps(config.to_dict(), allow_nan=False)
    assert json.loads(text)["substeps"] == "inf"
    assert config_from_dict(json.loads(text)) == config


def test_tuples_come_back_as_tuples() -> None:
    config = config_from_dict(json.loads(json.dumps(LASConfig(slow=(0.1, 2.0)).to_dict())))
    assert isinstance(config, LASConfig) and config.slow == (0.1, 2.0)


def test_an_integer_will_do_for_a_number() -> None:
    config = config_from_dict({"model_type": "las", "substeps": 4, "dt_max": 1})
    assert isinstance(config, LASConfig) and isinstance(config.substeps, float) and config.substeps == 4


def test_absent_keys_take_their_defaults() -> None:
    assert config_from_dict({"model_type": "las"}) == LASConfig()


def test_derived_sizes() -> None:
    config = LASConfig(d=40, expand=3)
    assert (config.e, config.dt_rank, LASConfig(d=40, rank=7).dt_rank) == (120, 3, 7)
    assert MambaConfig().substeps == 1


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LASConfig().d = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dt_mx": 0.1}, r"a las model has no setting 'dt_mx'; did you mean dt_max or dt_min\?"),
        ({"layer": 2}, r"a las model has no setting 'layer'; did you mean layers"),
        ({"zzz": 2}, r"a las model has no setting 'zzz'; it takes d, layers, n, .*frequencies\."),
        ({"d": "wide"}, r"a las model: d is 'wide', expected an integer such as 128\."),
        ({"d": 12.0}, r"d is 12\.0, expected an integer such as 128\."),
        ({"d": True}, r"d is True, expected an integer such as 128\."),
        ({"d": None}, r"d is None, expected an integer"),
        ({"tied": 1}, r"tied is 1, expected true or false such as False\."),
        ({"dt_max": True}, r"dt_max is True, expected a number such as 0\.1\."),
        ({"dt_max": "0.1"}, r"dt_max is '0\.1', expected a number"),
        ({"embedding": 3}, r"embedding is 3, expected a word such as 'continuous'\."),
        ({"slow": [1]}, r"slow is \[1\], expected a list such as \(0\.5, 8\.0\)\."),
        ({"slow": [1, "a"]}, r"slow is \[1, 'a'\], expected a list"),
        ({"slow": 3}, r"slow is 3, expected a list"),
        ({"d": 0}, r"las: d is 0, expected at least 1\."),
        ({"layers": -1}, r"las: layers is -1, expected at least 1\."),
        ({"rank": -1}, r"las: rank is -1, expected 0 \(for d / 16\) or more\."),
        ({"dt_min": 0.2}, r"las: \(dt_min, dt_max\) is \(0\.2, 0\.1\), expected 0 < dt_min < dt_max\."),
        ({"dt_min": 0}, r"expected 0 < dt_min < dt_max\."),
        ({"dt_max": "inf"}, r"las: \(dt_min, dt_max\) is \(0\.001, inf\), expected 0 < dt_min < dt_max\."),
        ({"dt_max": math.nan}, r"expected 0 < dt_min < dt_max\."),
        ({"substeps": 0}, r"las: substeps is 0\.0, expected an integer >= 1 or inf\."),
        ({"substeps": 1.5}, r"las: substeps is 1\.5, expected an integer >= 1 or inf\."),
        ({"substeps": math.nan}, r"las: substeps is nan, expected an integer >= 1 or inf\."),
        ({"substeps": -math.inf}, r"las: substeps is -inf, expected an integer >= 1 or inf\."),
        ({"slow": [8, 0.5]}, r"las: slow is \(8, 0\.5\), expected two rates, 0 < low <= high\."),
        ({"fast": [0, 1]}, r"las: fast is \(0, 1\), expected two rates"),
        ({"fast": [1, math.nan]}, r"las: fast is \(1, nan\), expected two rates"),
        ({"embedding": "sine"}, r"las: embedding is 'sine', expected \"continuous\" or \"lookup\"\."),
        ({"frequencies": 0}, r"las: frequencies is 0, expected at least 1\."),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict({"model_type": "las"} | values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "mambo"}, r"model_type 'mambo' is unknown; did you mean 'mamba'\?"),
        ({"model_type": "gpt"}, r"model_type 'gpt' is unknown; known are las, lnn, lstm, mamba"),
        ({}, r"model_type None is unknown; known are las"),
        ({"model_type": ["las"]}, r"model_type \['las'\] is unknown"),
        ({"model_type": {}}, r"model_type \{\} is unknown"),
        ({"model_type": "mamba", "substeps": 2}, r"a mamba model has no setting 'substeps'"),
        ({"model_type": "mamba", "n": 0}, r"mamba: n is 0, expected at least 1\."),
        ({"model_type": "mamba", "rank": -2}, r"mamba: rank is -2, expected 0"),
        ({"model_type": "mamba", "dt_min": 1.0}, r"mamba: \(dt_min, dt_max\) is \(1\.0, 0\.1\), expected 0 < dt_min"),
    ],
)
def test_mistakes_of_family_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(values)
