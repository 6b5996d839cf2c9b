"""The command for single files, and what happens without a compiler."""

from pathlib import Path

import pytest

import metal_check
from metal_check import compiler
from metal_check.__main__ import main

KERNEL = """#include <metal_stdlib>
using namespace metal;
kernel void scale(device float* x [[buffer(0)]], constant float& by [[buffer(1)]],
                  uint i [[thread_position_in_grid]]) {
  x[i] = FUNCTION(x[i]) * by;
}
"""

SCRIPT = """
import mlx.core as mx
kernel = mx.fast.metal_kernel("shift", ["x"], ["y"], "uint i = thread_position_in_grid.x; y[i] = x[i + OFFSET];")
kernel(inputs=[mx.ones(16)], output_shapes=[(16,)], output_dtypes=[mx.float32], grid=(16, 1, 1), threadgroup=(16, 1, 1))
"""


@pytest.mark.parametrize(
    ("name", "text", "verdict"),
    [
        ("good.metal", KERNEL.replace("FUNCTION", "exp"), "ok"),
        ("bad.metal", KERNEL.replace("FUNCTION", "expf"), "bad.metal:5"),
        ("good.py", SCRIPT.replace("OFFSET", "0"), "ok"),
        ("bad.py", SCRIPT.replace("OFFSET", "1"), "out of bounds: read of 4 bytes at x[16]"),
    ],
)
def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, verdict: str) -> None:
    (tmp_path / name).write_text(text)
    assert main([str(tmp_path / name)]) == (verdict != "ok")
    assert verdict in capsys.readouterr().out


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("METAL_CHECK_CXX", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(metal_check.NoCompiler, match="pip install ziglang"):
        compiler.find_compiler.__wrapped__()
