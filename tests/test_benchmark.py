"""The timer by a clock of its own, and the gate that lets no number pass without parity."""

import math
import subprocess
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.benchmark import (
    KANRow,
    LatencyRow,
    LIFRow,
    LTCRow,
    Note,
    ParityError,
    PeerError,
    PlasticRow,
    ScanRow,
    SequenceRow,
    StepRow,
    Timing,
    TrainRow,
    check_parity,
    kan,
    lif,
    machine,
    measure,
    measure_blocks,
    measure_kan,
    measure_latency,
    measure_lif,
    measure_ltc,
    measure_plastic,
    measure_plastic_liquid,
    measure_scan,
    measure_sequences,
    measure_step,
    measure_together,
    measure_training,
    open_peers,
    peers,
    plastic,
    provenance,
    relative_error,
    scan,
    training,
)
from lasmlx.benchmark.modes import BASELINES, CONTENDERS, of_size
from lasmlx.data import SequenceData, SequenceSet
from lasmlx.models import LASConfig, make_model
from lasmlx.ops import plastic_scan, selective_scan
from lasmlx.train import TrainConfig

SHAPE = (2, 37, 5, 3)
TINY = LASConfig(d=8, layers=1, n=2)
NEEDS_PEERS = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "mambapy")), reason=f"mambapy or PyTorch missing: {peers.INSTALL}"
)


class Clock:
    """Seconds that pass only when a task says so."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def task(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes the seconds in turn, and the last of them from then on."""
        left = list(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def rows(records: Iterable[Any], kind: type[Any]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def test_warm_up_is_not_timed() -> None:
    clock = Clock()
    timing = measure(clock.task("f", 100, 100, 1, 2, 3), warmup=2, repeats=3, clock=clock)
    assert timing.seconds == (1, 2, 3) and timing.median == 2 and timing.repeats == 3
    assert timing.p10 == pytest.approx(1.2) and timing.p90 == pytest.approx(2.8)


def test_functions_take_turns() -> None:
    clock = Clock()
    both = {"a": clock.task("a", 1), "b": clock.task("b", 5)}
    timings = measure_together(both, warmup=1, repeats=3, clock=clock)
    assert "".join(clock.calls) == "ab" + "ababab"
    assert timings["a"].median == 1 and timings["b"].median == 5


def test_a_turn_is_filled_by_the_fast_and_one_call_of_the_slow() -> None:
    clock = Clock()
    both = {"fast": clock.task("fast", 1), "slow": clock.task("slow", 9)}
    timings = measure_together(both, warmup=0, repeats=2, turn_seconds=3, clock=clock)
    assert timings["fast"].repeats == 6 and timings["slow"].repeats == 2


@pytest.mark.parametrize(("budget", "rounds"), [(0, 3), (45, 5), (math.inf, 8)])
def test_budget(budget: float, rounds: int) -> None:
    clock = Clock()
    timing = measure(clock.task("f", 10), repeats=8, budget_seconds=budget, clock=clock)
    assert timing.repeats == rounds


def test_repeats_out_of_range() -> None:
    with pytest.raises(ValueError, match="repeats is 0"):
        measure(lambda: None, repeats=0)


def test_timing_in_a_unit() -> None:
    values = Timing((0.001, 0.002, 0.003)).to_dict("us")
    assert values["median_us"] == pytest.approx(2000) and values["repeats"] == 3
    assert set(values) == {"median_us", "p10_us", "p90_us", "p99_us", "repeats"}


def test_relative_error() -> None:
    assert relative_error([1.0, 2.0], [1.0, 4.0]) == 0.5
    assert relative_error([0.0], [0.0]) == 0
    assert relative_error([math.nan], [1.0]) == relative_error([1.0], [math.inf]) == math.inf


def test_parity_names_what_is_off() -> None:
    ones = np.ones(3)
    assert check_parity("a and b", {"y": ones + 1e-3}, {"y": ones}, 1e-2) == pytest.approx(1e-3)
    for wrong in ({"y": ones + 1}, {"y": ones * math.nan}, {"y": np.ones(2)}, {}):
        with pytest.raises(ParityError, match=r"a and b.* y "):
            check_parity("a and b", wrong, {"y": ones}, 1e-2)


def test_scan_rows() -> None:
    records = list(measure_scan(SHAPE, reference=True, repeats=1, budget_seconds=0))
    first, *others = found = rows(records, ScanRow)
    assert first.ratio_forward == 1 and "mlx loop" in [row.impl for row in others]
    for row in found:
        assert row.error < scan.TOLERANCE and row.peak_mb > 0 and row.forward.median > 0
    assert rows(measure_scan(SHAPE, repeats=1, budget_seconds=0), Note)


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 0, 3, 4)])
def test_scan_shape(shape: Any) -> None:
    with pytest.raises(ValueError, match="b, t, d, n"):
        list(measure_scan(shape))


def wrong_output(*arrays: mx.array, impl: Any) -> Any:
    y, h = selective_scan(*arrays, impl=impl)
    return (y, h) if impl == "reference" else (y * 1.001, h)


def wrong_gradient(*arrays: mx.array, impl: Any) -> Any:
    x, *others = arrays
    y, h = selective_scan(x, *others, impl=impl)
    return (y, h) if impl == "reference" else (y + 0.01 * (x - mx.stop_gradient(x)), h)


@pytest.mark.parametrize(("wrong", "named"), [(wrong_output, "y"), (wrong_gradient, "dx")])
def test_no_scan_number_without_parity(wrong: Any, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not scan.kernels_here():
        pytest.skip("no kernel runs here, so there is nothing to hold to the reference")
    monkeypatch.setattr(scan, "selective_scan", wrong)
    timed = []
    monkeypatch.setattr(scan, "measure_together", lambda *a, **k: timed.append(a))
    with pytest.raises(ParityError, match=f"disagree: {named} is off"):
        list(measure_scan(SHAPE))
    assert not timed


def test_training_rows() -> None:
    config = TrainConfig(batch_size=2, seq_len=16)
    found = rows(measure_training(TINY, config, repeats=1, budget_seconds=0), TrainRow)
    assert [row.impl for row in found] == ["lasmlx las", "lasmlx mamba"]
    for row in found:
        assert row.bytes_per_second == pytest.approx(32 / row.step.median) and row.error < training.TOLERANCE


def test_step_rows() -> None:
    found = rows(measure_step("tiny", TINY, repeats=1, budget_seconds=0), StepRow)
    assert [row.impl for row in found] == ["native float32", "native int8", "mlx"]
    assert found[0].ratio == 1 and "median_us" in found[0].to_dict()["byte"]


def test_latency_rows() -> None:
    found = rows(measure_latency("tiny", TINY, bauds=[9600], count=64), LatencyRow)
    assert [row.weights for row in found] == ["float32", "int8"]
    for row in found:
        assert row.p50_us <= row.p99_us <= row.max_us and row.bytes == 64
        assert row.byte_us["9600"] == pytest.approx(1041.67, abs=0.01)
        assert row.margin["9600"] == pytest.approx(row.byte_us["9600"] / row.p99_us)


@pytest.mark.parametrize("options", [{"bauds": [1]}, {"count": 0}])
def test_latency_options(options: Any) -> None:
    with pytest.raises(ValueError, match="bench: "):
        list(measure_latency("tiny", TINY, **options))


@pytest.mark.parametrize("measured", [measure_step, measure_latency])
def test_no_step_number_without_parity(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasmlx.benchmark.step.mlx_logits", lambda model: np.ones((128, 256), np.float32))
    with pytest.raises(ParityError, match="logits"):
        list(measured("tiny", TINY))


def test_no_training_number_without_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TOLERANCE", 1e-12)
    with pytest.raises(ParityError, match="native step"):
        list(measure_training(TINY, TrainConfig(batch_size=1, seq_len=4)))


def test_absent_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with open_peers() as (found, reason):
        assert found is None and peers.INSTALL in reason
    with pytest.raises(PeerError, match="torch and mambapy not installed"), open_peers(True):
        pass


def test_unwanted_peers() -> None:
    with open_peers(False) as (found, reason):
        assert found is None and reason == ""


@NEEDS_PEERS
def test_peers() -> None:
    with open_peers(True) as (found, _):
        assert found is not None
        scans = rows(measure_scan((1, 20, 3, 2), peers=found, repeats=1, budget_seconds=0, memory=False), ScanRow)
        assert [row.impl for row in scans][-2:] == ["mambapy", "torch loop"]
        config = TrainConfig(batch_size=1, seq_len=8)
        trained = rows(measure_training(TINY, config, peers=found, repeats=1, budget_seconds=0), TrainRow)
        assert trained[-1].impl == "mambapy" and trained[-1].parameters == trained[-2].parameters
        stepped = rows(measure_step("tiny", TINY, peers=found, repeats=1, budget_seconds=0), StepRow)
        assert stepped[-1].impl == "mambapy" and stepped[-1].error < 1e-4
        with pytest.raises(PeerError, match="KeyError"):
            found.new("Scan", "nobody's", {}, None)
        assert "torch" in str(provenance("las bench", found))


def test_provenance() -> None:
    here = provenance("las bench scan")
    line = str(here)
    assert line.startswith("las bench scan · ") and "cores" in line and "mlx " in line
    assert here.to_dict()["versions"].keys() == {"lasmlx", "mlx", "numpy"}


def test_commit(tmp_path: Path) -> None:
    assert machine._commit(tmp_path) == ""
    (tmp_path / "__init__.py").touch()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    assert machine._commit(tmp_path) == ""
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    commit = machine._commit(tmp_path)
    assert commit and not commit.endswith("-dirty")
    (tmp_path / "__init__.py").write_text("1")
    assert machine._commit(tmp_path) == f"{commit}-dirty"


def test_ltc_rows_are_checked_before_they_are_timed() -> None:
    rows = [r for r in measure_ltc((2, 3, 4, 5), repeats=3, budget_seconds=0) if isinstance(r, LTCRow)]
    assert [r.impl for r in rows] == ["lasmlx auto", "mlx loop"]
    assert all(r.error <= 2e-5 for r in rows) and rows[0].ratio_forward == 1
    with pytest.raises(ValueError, match=r"shape is \(2, 3, 0, 5\), expected b, t, inputs, units"):
        list(measure_ltc((2, 3, 0, 5)))


@pytest.mark.parametrize("mapped", [True, False])
def test_lif_rows_are_checked_before_they_are_timed(mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [r for r in measure_lif((2, 10, 6, 5), mapped=mapped, repeats=1) if isinstance(r, LIFRow)]
    assert [r.impl for r in rows] == ["lasmlx auto", "mlx loop"] and rows[0].ratio_forward_backward == 1
    assert max(r.error for r in rows) < 2e-5
    monkeypatch.setattr(lif, "TOLERANCE", -1.0)
    with pytest.raises(ParityError):
        list(measure_lif((2, 10, 6, 5), mapped=mapped))
    with pytest.raises(ValueError, match="expected b, t, inputs, units"):
        list(measure_lif((2, 10, 6), mapped=mapped))  # type: ignore[arg-type]


def test_kan_rows_are_checked_before_they_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    records = list(measure_kan((7, 3, 5), grid=4, degree=2, repeats=1, budget_seconds=0))
    found = rows(records, KANRow)
    assert [r.impl for r in found] == ["Linear + SiLU", "lasmlx auto", "reference"]
    assert found[0].error is None and found[0].ratio_forward == found[0].ratio_forward_backward == 1
    assert all(r.error is not None and r.error < 2e-5 and r.peak_mb for r in found[1:])
    assert any("pykan" in note.text for note in rows(records, Note))
    with pytest.raises(ValueError, match=r"shape is \(7, 0, 5\), grid 5, degree 3, expected rows"):
        list(measure_kan((7, 0, 5)))
    monkeypatch.setattr(kan, "TOLERANCE", -1.0)
    with pytest.raises(ParityError):
        list(measure_kan((7, 3, 5)))


@NEEDS_PEERS
def test_kan_peers_compute_the_same() -> None:
    with open_peers(True) as (found, _):
        measured = rows(measure_kan((11, 3, 5), grid=3, peers=found, repeats=1, budget_seconds=0), KANRow)
    there = [name for name, module in kan.PEERS.items() if find_spec(module)]
    assert [r.impl for r in measured][3:] == there and "torch" in there
    assert all(r.error is not None and r.error < 2e-5 and r.peak_mb is None for r in measured[3:])


def test_a_width_is_found_for_a_size() -> None:
    for settings in (CONTENDERS | BASELINES).values():
        config = of_size(settings, 100_000, layers=2)
        assert abs(make_model(config).size - 100_000) < 20_000, settings


@pytest.mark.parametrize(
    ("measured", "shape"), [(measure_plastic, (2, 50, 2, 3, 5)), (measure_plastic_liquid, (2, 50, 4, 3))]
)
def test_plastic_rows_are_of_every_rule(measured: Any, shape: Any) -> None:
    records = list(measured(shape, repeats=1, budget_seconds=0))
    found = rows(records, PlasticRow)
    assert [(row.rule, row.impl) for row in found[::2]] == [(rule, "lasmlx auto") for rule in ("hebb", "oja", "delta")]
    for kernel, loop in zip(found[::2], found[1::2], strict=True):
        assert (kernel.elements, loop.elements) == (50, 48) and loop.traces_mb == pytest.approx(kernel.traces_mb * 0.96)
        assert 0 < kernel.error < plastic.TOLERANCE and kernel.peak_mb > 0 and loop.peak_mb > 0
        medians = loop.forward.median / 48, kernel.forward.median / 50
        assert loop.ratio_forward == pytest.approx(medians[0] / medians[1])
    assert len(rows(records, Note)) == 1


def test_traces_of_a_liquid_layer_are_of_its_inputs_and_itself() -> None:
    first = next(r for r in measure_plastic_liquid((2, 3, 4, 5), repeats=1) if isinstance(r, PlasticRow))
    assert first.traces_mb == pytest.approx(4e-6 * 2 * 3 * 4 * (4 + 5))


def test_blocks_beside_one_by_one() -> None:
    found = rows(measure_blocks((1, 9, 3, 2, 5), blocks=[4, 9], repeats=1, budget_seconds=0), PlasticRow)
    assert [(row.rule, row.impl) for row in found] == [
        (rule, impl) for rule in ("hebb", "delta") for impl in ("one by one", "blocks of 4", "blocks of 9")
    ]
    assert {row.elements for row in found} == {9} and all(row.error < plastic.TOLERANCE for row in found)


@pytest.mark.parametrize("measured", [measure_plastic, measure_blocks])
def test_plastic_shape_is_named(measured: Any) -> None:
    with pytest.raises(ValueError, match=r"shape is \(1, 2, 0, 4, 5\), expected b, t, g, m, n, each at least 1"):
        list(measured((1, 2, 0, 4, 5)))


def test_no_plastic_number_without_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(**arrays: Any) -> Any:
        y, last = plastic_scan(**arrays)
        return (y, last) if arrays["impl"] == "reference" else (y * 1.001, last)

    monkeypatch.setattr(plastic, "plastic_scan", wrong)
    with pytest.raises(ParityError, match="the loop, hebb disagree: y is off"):
        list(measure_plastic((1, 5, 1, 2, 3)))


def test_sequence_rows_have_a_score_a_seed() -> None:
    x = np.sin(np.arange(12) * np.where(np.arange(16) % 2, 2.0, 0.4)[:, None]).astype(np.float32)[..., None]
    part = SequenceSet(x, np.full(16, 12), np.ones((16, 12), np.float32), np.arange(16) % 2)
    data = SequenceData("waves", part, part, ("slow", "fast"))
    quick = TrainConfig(steps=15, batch_size=8, lr=2e-2, warmup=2)
    found = measure_sequences(data, models=["liquid", "lstm"], dropped=[0, 0.5], seeds=2, training=quick)
    rows = [r for r in found if isinstance(r, SequenceRow)]
    assert [(r.model, r.dropped, len(r.scores)) for r in rows] == [
        ("liquid", 0, 2),
        ("lstm", 0, 2),
        ("liquid", 0.5, 2),
        ("lstm", 0.5, 2),
    ]
    assert rows[0].mean == pytest.approx(sum(rows[0].scores) / 2) and rows[0].mean > 0.9
    again = measure_sequences(data, models=["liquid"], seeds=2, training=quick)
    assert next(r for r in again if isinstance(r, SequenceRow)).scores == rows[0].scores
    with pytest.raises(ValueError, match="expected some of liquid, soft, ltc, cfc, lstm, mamba-kan"):
        list(measure_sequences(data, models=["gru"]))
