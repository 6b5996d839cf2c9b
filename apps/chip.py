"""``las chip``: from a trained model to integers, and out to C++, HLS and RTL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Quantise a las model, emulate it bit for bit, export it to C++, HLS and RTL.", no_args_is_help=True
)

ChipDir = Annotated[Path, typer.Argument(help="A chip directory, made by `las chip quantize`.", show_default=False)]
Data = Annotated[
    list[str] | None, typer.Option("--data", help="As for `las train`; by default what the run was trained on.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")]


@app.command()
def quantize(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder; else the newest, or the model that ships.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The chip directory to write.")] = Path("chip"),
    data: Data = None,
    system: Annotated[Literal["int8", "q16"], typer.Option(help="8-bit weights and activations, or Q16.16.")] = "int8",
    decay: Annotated[
        Literal["table", "euler"], typer.Option(help="2^-x looked up, or one Euler step a sub-step.")
    ] = "table",
    substeps: Annotated[int, typer.Option(min=0, help="Of the state equation; 0: those of the model.")] = 0,
    state_bits: Annotated[int, typer.Option(min=0, help="Stored bits of a state; 0: 31, or 32 of q16.")] = 0,
    rounding: Annotated[Literal["nearest", "stochastic"], typer.Option(help="Of stored states.")] = "nearest",
    calibration: Annotated[Literal["mse", "percentile"], typer.Option(help="How ranges are chosen.")] = "mse",
    windows: Annotated[int, typer.Option(min=1, help="Windows of 256 training bytes to measure ranges on.")] = 64,
    qat: Annotated[int, typer.Option(min=0, metavar="STEPS", help="Fine-tune rounded for so many steps.")] = 0,
    lr: Annotated[float, typer.Option(help="Largest learning rate of the fine-tuning.")] = 3e-4,
    noise: Annotated[
        str | None, typer.Option(help="Fine-tune with an analog part's programming noise, e.g. pcm.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of windows, fine-tuning and stochastic rounding.")] = 0,
    most: Annotated[int, typer.Option("--bytes", min=2, help="Held-out bytes to judge by, of each split.")] = 65536,
    force: Force = False,
    json: Json = False,
) -> None:
    """Turn a trained las model into integers.

    Example: las chip quantize runs/mine --data gps --out chip --qat 300
    """
    from lasmlx.apps.chip_work import Quantizer
    from lasmlx.apps.runs import find_model, trained_on
    from lasmlx.chip import Options

    model, folder = find_model(run)
    options = Options(system, decay, substeps, state_bits, rounding, seed)
    work = Quantizer(model, tuple(data or trained_on(folder)), options, calibration, windows, seed, most)
    work.check_folder(out, force)
    work.calibrate()
    if qat:
        work.fine_tune(qat, lr, noise)
    elif noise is not None:
        raise ValueError("--noise trains with an analog part's noise: say for how many steps with --qat.")
    work.save(out)
    work.show(out, json)


@app.command()
def run(
    chip: ChipDir,
    data: Data = None,
    noise: Annotated[
        str | None, typer.Option(help='An analog part: ideal, pcm, "pcm,adc_bits=8", or a TOML file.')
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Since the analog part was programmed.")] = 20.0,
    most: Annotated[int | None, typer.Option("--bytes", min=2, help="Of each held-out split; absent: all.")] = None,
    json: Json = False,
) -> None:
    """Bits per byte of held-out bytes through the emulated chip, digital or analog.

    Example: las chip run chip --data gps --noise pcm --seconds 86400
    """
    from lasmlx.apps.chip_work import show_run

    show_run(chip, data, noise, seconds, most, json)


@app.command()
def report(
    chip: ChipDir,
    data: Data = None,
    noise: Annotated[str, typer.Option(help='The analog part: pcm, "pcm,adc_bits=8", or a TOML file.')] = "pcm",
    most: Annotated[int, typer.Option("--bytes", min=2, help="Held-out bytes.")] = 20000,
    seeds: Annotated[int, typer.Option(min=1, help="Analog parts to draw.")] = 3,
    save: Annotated[Path | None, typer.Option(help="Plot the drift into FILE.png or .svg (needs matplotlib).")] = None,
    json: Json = False,
) -> None:
    """Accuracy, drift, saturation, SQNR, energy and area of a chip.

    Example: las chip report chip --noise pcm --save drift.png
    """
    from lasmlx.apps.chip_report import show_report

    show_report(chip, data, noise, most, seeds, save, json)


@app.command()
def verify(
    chip: ChipDir,
    data: Data = None,
    count: Annotated[int, typer.Option("--bytes", min=1, help="Held-out bytes.")] = 10000,
    random: Annotated[int, typer.Option(min=0, help="Chips of random integers and sizes to compare as well.")] = 0,
    realisations: Annotated[
        list[str] | None, typer.Option("--with", help="emulator, cpp, hls, rtl; repeat. [default: emulator, cpp]")
    ] = None,
    rtl_bytes: Annotated[int, typer.Option(min=1, help="Bytes for the RTL, which is simulated cycle by cycle.")] = 200,
    json: Json = False,
) -> None:
    """Every logit of every byte against the NumPy twin, through each realisation: the differences must be none.

    Example: las chip verify chip --bytes 1000 --with emulator --with cpp
    """
    from lasmlx.apps.chip_work import show_verification

    show_verification(chip, data, count, random, realisations or ["emulator", "cpp"], rtl_bytes, json)


@app.command()
def soak(
    chip: ChipDir,
    data: Data = None,
    count: Annotated[
        int, typer.Option("--bytes", min=1000, help="Bytes in all; the held-out ones over and over.")
    ] = 100_000_000,
    looks: Annotated[int, typer.Option(min=1, help="How often the twin takes the state over and compares.")] = 20,
    json: Json = False,
) -> None:
    """One endless stream: memory must not grow, and the integer state must stay what the NumPy twin makes of it.

    Example: las chip soak chip --bytes 10000000
    """
    from lasmlx.apps.chip_work import show_soak

    show_soak(chip, data, count, looks, json)


@app.command()
def export(
    chip: ChipDir,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    target: Annotated[Literal["cpp", "hls", "verilog"], typer.Option(help="C++17, HLS C++ or Verilog.")] = "cpp",
    vectors: Annotated[int, typer.Option(min=1, help="Bytes of the test bench.")] = 64,
    macs: Annotated[int, typer.Option(min=1, help="Multipliers of the RTL's MAC array.")] = 16,
    lanes: Annotated[int, typer.Option(min=1, help="States a cycle of the RTL's scan.")] = 1,
    clock: Annotated[float, typer.Option(help="Of the RTL, MHz.")] = 50.0,
    baud: Annotated[int, typer.Option(min=50, help="Of the RTL's serial ports.")] = 115200,
    force: Force = False,
) -> None:
    """Write the step as source code with a test bench and vectors.

    Example: las chip export chip --target cpp --out firmware
    """
    from lasmlx.apps.terminal import stdout
    from lasmlx.chip import load_chip

    model = load_chip(chip)
    if target == "verilog":
        from lasmlx.chip.rtl.verilog import export_verilog

        files = export_verilog(
            model, out, macs=macs, lanes=lanes, clock_hz=clock * 1e6, baud=baud, vectors=vectors, force=force
        )
        paths = list(files.values())
    else:
        from lasmlx.chip.export import export as export_source

        paths = export_source(model, out, target, vectors=vectors, force=force)
    for path in paths:
        stdout().print(str(path), soft_wrap=True)


@app.command()
def synth(
    chip: ChipDir,
    target: Annotated[Literal["ecp5", "ice40"], typer.Option(help="The family of FPGAs.")] = "ecp5",
    device: Annotated[str | None, typer.Option(help="85k, 45k, 25k; up5k, hx8k. [default: the largest]")] = None,
    macs: Annotated[int, typer.Option(min=1, help="Multipliers of the MAC array.")] = 32,
    lanes: Annotated[int, typer.Option(min=1, help="States a cycle of the scan.")] = 1,
    clock: Annotated[float, typer.Option(help="To ask of the tools, MHz.")] = 50.0,
    baud: Annotated[int, typer.Option(min=50, help="Of the serial ports.")] = 115200,
    out: Annotated[Path | None, typer.Option(help="Keep Verilog, netlist and reports here.")] = None,
    json: Json = False,
) -> None:
    """Synthesise and route the whole step for an FPGA: resources, clock, and the baud rate it sustains.

    Example: las chip synth chip --target ecp5 --macs 32
    """
    from lasmlx.apps.chip_work import show_synthesis

    show_synthesis(chip, target, device, macs, lanes, clock, baud, out, json)
