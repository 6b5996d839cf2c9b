"""Formulas from data: what is counted, and that every seed is."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lasmlx.apps.eval import app
from lasmlx.benchmark import Stage, symbolic
from lasmlx.benchmark.symbolic import TARGETS, SymbolicRow, Target, measure_symbolic
from lasmlx.layers import EdgeFormula, Formula


@pytest.fixture(autouse=True)
def square(monkeypatch: pytest.MonkeyPatch) -> None:
    """One function more, that a few steps find."""
    monkeypatch.setitem(TARGETS, "square", Target("x0^2", np.square, (1, 1)))


def test_functions_are_as_they_are_written() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (5, 20))
    a, b, c, d = x[:, :4].T
    written = {
        "exp-sin": np.exp(np.sin(np.pi * a) + b**2),
        "product": a * b,
        "four": np.exp((np.sin(np.pi * (a**2 + b**2)) + np.sin(np.pi * (c**2 + d**2))) / 2),
        "twenty": np.exp((np.sin(np.pi * x / 2) ** 2).mean(1)),
    }
    for name, wanted in written.items():
        target = TARGETS[name]
        np.testing.assert_allclose(target.truth(x[:, : target.widths[0]]), wanted[:, None])


def test_every_seed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    *stages, row = measure_symbolic(["square"], seeds=2, rows=60, steps=18)
    assert all(isinstance(stage, Stage) for stage in stages) and len(stages) == 2
    assert isinstance(row, SymbolicRow) and row.parameters == 9 and row.seeds == row.found == 2
    assert len(row.formula_rmse) == 2 and max(row.formula_rmse) < 1e-6 < 1e-3 < row.net_rmse
    assert row.best == "y0 = x0^2" and row.seconds > 0
    monkeypatch.setattr(symbolic, "FOUND", 0.0)
    assert [r.found for r in measure_symbolic(["square"], seeds=1, rows=60, steps=9) if isinstance(r, SymbolicRow)] == [
        0
    ]


def test_the_formula_named_is_the_best_at_the_points_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(target: Any, seed: int, rows: int, steps: int) -> Any:
        edge = EdgeFormula(0, 0, "x", seed + 1.0, 1.0, 0.0, 0.0, 1.0)
        return symbolic.Try(Formula(((edge,),)), 9, seed + 1.0, seed / 2, [2.0, 1.0, 3.0][seed], 4.0)

    monkeypatch.setattr(symbolic, "find", found)
    (row,) = (r for r in measure_symbolic(["square"]) if isinstance(r, SymbolicRow))
    assert (row.best, row.net_rmse, row.formula_rmse, row.found) == ("y0 = 2 x0", 2.0, (0.0, 0.5, 1.0), 1)


def test_the_command() -> None:
    options = ["symbolic", "--function", "square", "--seeds", "1", "--rows", "60", "--steps", "18"]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0 and "1 of 1" in shown.stdout and "square: x0^2\ny0 = x0^2" in shown.stdout
    row = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert row["function"] == "square" and row["found"] == 1 and len(row["formula_rmse"]) == 1


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="expected some of exp-sin, product, four, twenty"):
        list(measure_symbolic(["cube"]))
    with pytest.raises(ValueError, match="seeds 0"):
        list(measure_symbolic(["square"], seeds=0))
