"""The report: its counts are those of the steps that run, its numbers those of their formulas."""

import dataclasses
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from lasmlx.chip import ChipModel, Emulator, Options, quantize, random_chip, twin
from lasmlx.chip.analog import AnalogPart, column_spread, crossbars
from lasmlx.chip.analog_twin import analog_chip, with_crossbars
from lasmlx.chip.costs import ADC_8_PJ, ADD_32_PJ, MULTIPLY_8_PJ, SRAM_BYTE_PJ, count, estimate
from lasmlx.chip.report import MONTH, YEAR, report, sqnr, trace, unit_of_u
from lasmlx.data import ByteSource
from lasmlx.models import LAS
from lasmlx.stream import NativeModel, stream_bits

Bytes = Callable[..., bytes]
Las = Callable[..., LAS]


@pytest.fixture
def model(las: Las) -> LAS:
    return las()


@pytest.fixture
def chip(model: LAS, some_bytes: Bytes) -> ChipModel:
    return quantize(model, np.frombuffer(some_bytes(256), np.uint8).reshape(4, 64), Options())


class Tally:
    """A function that counts the elements it returns, or one a call."""

    def __init__(self, function: Callable[..., Any], each: bool = True) -> None:
        self.function, self.each, self.total = function, each, 0

    def __call__(self, *given: Any) -> Any:
        result = self.function(*given)
        self.total += np.size(result) if self.each else 1
        return result


TALLIED = ("sigmoid", "exp2", "direction", "scale", "keep")


class Products(np.ndarray):
    """The convolution's weights, that count what they are multiplied with."""

    total = 0

    def __mul__(self, other: Any) -> Any:
        Products.total += np.broadcast(self, other).size
        return np.asarray(self) * other


@pytest.mark.parametrize("settings", [
    {"decay": "table", "substeps": 1}, {"decay": "euler", "substeps": 3}, {"layers": 1, "k": 1, "rank": 1, "n": 1},
    {"d": 7, "layers": 3, "e": 11, "n": 5, "k": 4, "rank": 3, "state_bits": 12},
])  # fmt: skip
def test_counts_are_those_of_a_step(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    chip, macs, through = random_chip(3, system="int8", **settings), [], []

    class Matrix:
        def __init__(self, weight: Any) -> None:
            self.weight = weight

        def __matmul__(self, x: Any) -> Any:
            macs.append(self.weight.shape[0] * x.size)
            through.append((x.size, self.weight.shape[0]))
            return self.weight @ x

    tallies = {name: Tally(getattr(twin, name), name != "direction") for name in TALLIED}
    for name, tally in tallies.items():
        monkeypatch.setattr(twin, name, tally)
    watched = analog_chip(chip, lambda _, weight: Matrix(weight))
    watched.layers = [dataclasses.replace(layer, conv=layer.conv.view(Products)) for layer in watched.layers]
    Products.total = 0
    twin.step(watched, twin.init_state(chip), 5)

    got, c = count(chip), chip.config
    assert got.matrix_macs == sum(macs)
    assert got.conv_macs == Products.total
    assert got.states == c.layers * c.e * c.n
    assert got.state_updates == tallies["keep"].total
    assert got.look_ups == sum(tallies[name].total for name in ("sigmoid", "exp2", "direction"))
    assert got.requantisations == tallies["scale"].total
    assert (got.inputs, got.outputs) == tuple(np.sum(through, 0))


def test_counts_of_the_emulator() -> None:
    chip = random_chip(4, system="int8", decay="euler")
    session = Emulator(chip).session(counting=True)
    session.feed(b"a")
    assert count(chip).state_updates == sum(r.count for name, r in session.ranges.items() if name.endswith(".h"))


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    chip = random_chip(5, system="q16", layers=2, e=8, n=3, k=4)
    chip.save(tmp_path)
    file = (tmp_path / "chip.safetensors").read_bytes()
    assert count(chip).weight_bytes == len(file) - 8 - struct.unpack("<Q", file[:8])[0]
    assert count(chip).state_bytes == (2 * 3 * 8 * 32 + 2 * 8 * 3 * 32) // 8
    small = random_chip(5, system="int8", layers=1, e=2, n=3, k=3, state_bits=12)
    assert count(small).state_bytes == math.ceil((2 * 2 * 8 + 2 * 3 * 12) / 8)


def test_estimate_in_numbers() -> None:
    chip = random_chip(6, system="int8")
    n, digital = count(chip), estimate(chip)
    assert digital.energy["matrices"] == pytest.approx((MULTIPLY_8_PJ + ADD_32_PJ) * n.matrix_macs)
    read = n.weight_bytes - 255 * chip.config.d  # of the embedding one row
    assert digital.energy["weights"] == pytest.approx(SRAM_BYTE_PJ * read)
    assert digital.total_energy == pytest.approx(sum(digital.energy.values()))
    assert digital.total_area == pytest.approx(sum(digital.area.values()))
    analog = estimate(chip, AnalogPart(adc_bits=8))
    assert "matrices" not in analog.energy
    assert analog.energy["weights"] == pytest.approx(SRAM_BYTE_PJ * (read - n.matrix_macs))
    assert analog.energy["ADCs"] == pytest.approx(ADC_8_PJ * n.outputs)
    assert estimate(chip, AnalogPart(adc_bits=10)).energy["ADCs"] == pytest.approx(4 * analog.energy["ADCs"])
    assert estimate(chip, AnalogPart(dac_bits=4)).energy["DACs"] == pytest.approx(analog.energy["DACs"] / 2)
    assert estimate(chip, AnalogPart(g_max=50.0)).energy["cells"] == pytest.approx(2 * analog.energy["cells"])
    assert estimate(chip, AnalogPart(g_min=5.0)).energy["cells"] > analog.energy["cells"]
    assert estimate(chip, AnalogPart(adc_bits=0)).energy["ADCs"] > 1000 * analog.energy["ADCs"]
    assert analog.energy["states"] == digital.energy["states"]


def test_trace_is_the_step(chip: ChipModel, some_bytes: Bytes) -> None:
    data = some_bytes(20)
    *layers, logits = trace(chip, data)
    np.testing.assert_array_equal(logits, Emulator(chip).session().trace(data))
    assert [u.shape for u in layers] == [(20, 24), (20, 24)]


@pytest.mark.parametrize(("system", "least"), [("int8", 18.0), ("q16", 50.0)])
def test_sqnr_of_a_good_chip(system: Any, least: float, model: LAS, some_bytes: Bytes) -> None:
    chip = quantize(model, np.frombuffer(some_bytes(256), np.uint8).reshape(4, 64), Options(system=system))
    found = sqnr(chip, model, some_bytes(100, 9))
    assert list(found) == ["layers.0", "layers.1", "logits"]
    assert all(least < value < least + 50 for value in found.values())


@pytest.mark.parametrize("system", ["int8", "q16"])
def test_unit_of_u(system: Any, model: LAS, some_bytes: Bytes) -> None:
    chip = quantize(model, np.frombuffer(some_bytes(256), np.uint8).reshape(4, 64), Options(system=system))
    u, unit = chip.embedding << chip.config.embedding_shift, unit_of_u(chip, model)
    table = np.array(model.embedding.table())
    assert np.abs(u * unit - table).max() <= 0.51 * unit * 2**chip.config.embedding_shift


def test_sqnr_in_numbers(chip: ChipModel, model: LAS, some_bytes: Bytes) -> None:
    data = some_bytes(30)
    exact, _ = model(mx.array(np.frombuffer(data, np.uint8)[None]))
    got = Emulator(chip).session().trace(data) / 2.0**chip.config.logit_fraction
    f = np.array(exact[0]).astype(float)
    expected = 10 * math.log10((f**2).sum() / ((f - got) ** 2).sum())
    assert sqnr(chip, model, data)["logits"] == pytest.approx(expected, abs=1e-3)


def test_report(chip: ChipModel, model: LAS, some_bytes: Bytes) -> None:
    data, part = some_bytes(60, 3), AnalogPart.parse("pcm,drift=2,seed=4294967295")
    source = ByteSource.from_bytes("x", data)
    found = report(chip, model, source, part, (1.0, YEAR), seeds=3)
    assert found.scored == 59
    assert found.float_bits_per_byte == stream_bits(NativeModel.from_model(model).session(), source)
    assert found.bits_per_byte == stream_bits(Emulator(chip).session(), source)
    assert found.analog is not None
    for age in found.analog.ages:
        assert len(set(age.bits_per_byte)) == 3
        assert age.mean == pytest.approx(sum(age.bits_per_byte) / 3)
        assert age.sd == pytest.approx(math.sqrt(sum((v - age.mean) ** 2 for v in age.bits_per_byte) / 2))
    spread = column_spread(chip, bytes(range(256)))
    bars = [crossbars(chip, dataclasses.replace(part, seed=seed), YEAR, spread) for seed in (4294967295, 0, 1)]
    again = tuple(stream_bits(Emulator(chip, b).session(), source) for b in bars)
    assert found.analog.ages[1].bits_per_byte == again
    first = with_crossbars(chip, crossbars(chip, part, 1.0, spread))
    assert found.analog.sqnr == sqnr(first, model, data)
    assert all(found.analog.sqnr[name] < found.sqnr[name] for name in found.sqnr)
    assert report(chip, model, data, part, (1.0, YEAR), seeds=3) == found
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["cost"]["total_energy"] == pytest.approx(found.cost.total_energy)
    assert values["analog"]["cost"]["total_area"] == pytest.approx(found.analog.cost.total_area)
    assert AnalogPart.from_dict(values["analog"]["part"]) == part
    assert values["cost"]["estimate"] is True


def test_report_of_a_digital_chip(chip: ChipModel, model: LAS, some_bytes: Bytes) -> None:
    found = report(chip, model, some_bytes(60))
    assert found.analog is None
    assert found.to_dict()["analog"] is None
    assert {"layers.0.norm", "layers.1.h", "norm", "logits"} <= found.tensors.keys()


def test_ranges_that_are_used(some_bytes: Bytes, chip: ChipModel, model: LAS) -> None:
    data = some_bytes(100)
    session = Emulator(chip).session(counting=True)
    session.feed(data)
    found = report(chip, model, data).tensors
    widths = {"norm": 8, "conv": 8, "x": 8, "B": chip.system.mix, "C": chip.system.mix, "drive": 18, "h": 31}
    for name, r in session.ranges.items():
        bits = widths.get(name.rsplit(".", 1)[-1], 16)
        assert found[name].saturated == r.saturated / r.count
        assert found[name].used == pytest.approx(max(-r.low, r.high) / (2 ** (bits - 1) - 1))
        assert (found[name].used > 1 + 2.0 ** (2 - bits)) == (r.saturated > 0) or bits == 8


def test_the_calibration_sets_the_converters(chip: ChipModel, model: LAS, some_bytes: Bytes) -> None:
    part, data = AnalogPart.parse("ideal,adc_bits=5"), some_bytes(60)
    found = [report(chip, model, data, part, (1.0,), seeds=1, calibration=c).analog for c in (b"", b"aaaa")]
    assert found[0] is not None and found[1] is not None
    assert found[0].ages[0].mean != found[1].ages[0].mean
    assert found[0].ages[0].sd == 0


def test_refusals(chip: ChipModel, model: LAS, las: Las) -> None:
    with pytest.raises(ValueError, match=r"report: the model has 3 layers of width 24, the chip 2 of 24"):
        report(chip, las(layers=3), b"abc")
    q16 = quantize(model, np.zeros((0, 0), np.uint8), Options(system="q16"))
    with pytest.raises(ValueError, match="expected int8"):
        report(q16, model, b"abc", AnalogPart())
    with pytest.raises(ValueError, match="1 bytes, expected at least 2"):
        report(chip, model, b"a")
    with pytest.raises(ValueError, match="got 0 times and 3 seeds"):
        report(chip, model, b"abc", AnalogPart(), ())
    with pytest.raises(ValueError, match="got 6 times and 0 seeds"):
        report(chip, model, b"abc", AnalogPart(), seeds=0)
    with pytest.raises(ValueError, match="expected 'las'"):
        report(chip, object(), b"abc")  # type: ignore[arg-type]


def test_times() -> None:
    assert MONTH * 12 == YEAR == 365.25 * 86400
