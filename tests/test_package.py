import re
import subprocess
import sys
from pathlib import Path

import pytest

import lasmlx

ROOT = Path(__file__).parent.parent


def test_public_names_are_pinned() -> None:
    assert lasmlx.__all__ == [
        "BLAS",
        "__version__",
        "LAS",
        "LASConfig",
        "LiquidMambaKAN",
        "MambaConfig",
        "MambaLM",
        "NativeModel",
        "PlasticLM",
        "PlasticLMConfig",
        "TrainConfig",
        "causal_conv1d",
        "generate",
        "load",
        "load_corpus",
        "make_model",
        "plastic_scan",
        "selective_scan",
    ]
    for name in lasmlx.__all__:
        assert getattr(lasmlx, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        lasmlx.nothing  # noqa: B018


def test_readme_and_ci_run_the_same_test_line() -> None:
    lines = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.M)
    assert len(lines) == 2
    assert lines[0].endswith("las train")
    assert lines[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_an_import_of_lasmlx_is_light() -> None:
    code = "import lasmlx, sys; print(sorted({'mlx.core', 'rich', 'typer', 'lasmlx.models'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    )


def test_the_installed_package_has_its_data() -> None:
    package = Path(lasmlx.__file__).parent
    for file in (
        "py.typed",
        "presets/las.toml",
        "metal/selective_scan.metal",
        "data/corpora/gps.tar.xz",
        "pretrained/model.safetensors",
    ):
        assert (package / file).is_file(), file
    assert (package / "pretrained" / "model.safetensors").stat().st_size <= 1_500_000
