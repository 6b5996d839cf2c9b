import math
from pathlib import Path

import pytest

from lasmlx.models import ConfigError, make_model
from lasmlx.train import load_recipe, preset_names
from lasmlx.train.recipe import to_toml


def test_every_preset_loads_and_survives_toml(tmp_path: Path) -> None:
    assert {"las", "las-small", "las-base", "mamba"} <= set(preset_names())
    for name in preset_names():
        recipe = load_recipe(name)
        assert recipe.description
        path = tmp_path / f"{name}.toml"
        path.write_text(to_toml(recipe))
        assert load_recipe(path) == recipe


def test_sizes_are_those_of_the_presets() -> None:
    small, base = load_recipe("las-small").model, load_recipe("las-base").model
    assert (small.d, small.layers, small.n) == (64, 2, 16)
    assert (base.d, base.layers, base.n) == (256, 4, 16)
    assert make_model(load_recipe("las").model).size < 700_000


def test_settings_reach_both_tables() -> None:
    recipe = load_recipe("las").replace({"d": 32, "train.lr": 1e-3, "substeps": "inf", "slow": [1, 2]})
    assert (recipe.model.d, recipe.train.lr, recipe.model.substeps, recipe.model.slow) == (32, 1e-3, math.inf, (1, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepps": 3}, r"'stepps' is no setting of las; did you mean steps"),
        ({"model.lr": 3}, r"'model.lr' is no setting of las; did you mean train.lr"),
        ({"d": "wide"}, r"d is 'wide', expected an integer such as 128"),
        ({"d": 0}, r"las: d is 0, expected at least 1"),
        ({"d": True}, r"d is True, expected an integer"),
        ({"lr": 0.0}, r"lr is 0.0, expected above 0 and at most 1"),
        ({"substeps": 1.5}, r"substeps is 1.5, expected an integer >= 1 or inf"),
        ({"dt_min": 0.2}, r"expected 0 < dt_min < dt_max"),
        ({"betas": [0.9]}, r"betas is \[0.9\], expected a list such as \(0.9, 0.95\)"),
    ],
)
def test_wrong_settings_say_what_they_take(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("las").replace(settings)


def test_unknown_presets_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no preset 'las-bas'; did you mean las-base"):
        load_recipe("las-bas")
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        load_recipe(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("[model")
    with pytest.raises(ConfigError, match=r"bad\.toml is no TOML"):
        load_recipe(path)
    path.write_text("[modell]\nd = 3\n")
    with pytest.raises(ConfigError, match="bad has no table 'modell'"):
        load_recipe(path)
    path.write_text("[model]\nmodel_type = 'lass'\n")
    with pytest.raises(ConfigError, match="model_type 'lass' is unknown; did you mean 'las'"):
        load_recipe(path)
