"""``las viz``: what a model feels while it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lasmlx.apps.viz_learnt import confusion, kan
from lasmlx.apps.viz_options import (
    Count,
    Data,
    Force,
    Generate,
    PlasticRun,
    ReadFrom,
    Save,
    Screenshot,
    Sequence,
    Target,
    Text,
    TokenLines,
)

if TYPE_CHECKING:
    from rich.console import Console

    from lasmlx.viz import DtTrace, HebbTrace, LayerTrace, SpikesTrace, StepsTrace, TauTrace, TokenTrace

app = typer.Typer(
    help="See what a model feels: its time steps, time constants, synapses and spikes; and what it has learnt.",
    no_args_is_help=True,
)


@app.callback()
def viz() -> None:
    """See what a model feels while it reads."""


@app.command()
def dt(
    run: Annotated[Path | None, typer.Option(help="A run or model folder; by default the newest run.")] = None,
    text: Text = None,
    data: Data = None,
    generate: Generate = None,
    count: Count = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0.")] = None,
    save: Save = None,
    force: Force = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines: one a byte, then a summary; seconds.")] = False,
    screenshot: Screenshot = None,
) -> None:
    """The time step dt that the model takes at each byte: text, time, layers and histograms. Piped: numbers.

    Example: las viz dt --text "Call me Ishmael."
    """
    from lasmlx.apps import viz_dt
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.viz_input import read_input
    from lasmlx.viz import dt_figure, most_bytes, trace_dt

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    fits = target.fitting_bytes(console)
    most = most_bytes(model)
    source = read_input(model, folder, text=text, data=data, generate=generate, count=count, fits=fits, most=most)
    whole = trace_dt(model, source.data)
    trace = whole if layer is None else whole.only(layer)
    title = f"{folder.name}: {_words(model, trace, len(whole.layers))}; {source.label}"
    _hand_over(console, trace, title, (viz_dt.show, dt_figure), target)


@app.command()
def tau(
    run: Annotated[
        Path | None, typer.Option(help="A run or model folder of an lnn; by default the newest run.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to read, for a model of bytes.")] = None,
    data: ReadFrom = None,
    count: Count = None,
    sequence: Sequence = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0.")] = None,
    save: Save = None,
    force: Force = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines: one an element, then a summary; seconds.")] = False,
    screenshot: Screenshot = None,
) -> None:
    """The time constants tau of a liquid network: input, time, units and histograms. Piped: numbers.

    Example: las viz tau --run runs/lnn --sequence 3
    """
    from lasmlx.apps import viz_tau
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.viz_tau_input import read
    from lasmlx.viz import tau_figure

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    fits = target.fitting_bytes(console)
    reading = read(model, folder, text=text, data=data, count=count, sequence=sequence, fits=fits)
    trace = reading.trace if layer is None else reading.trace.only(layer)
    title = f"{folder.name}: {_words(model, trace, len(reading.trace.layers))}; {reading.label}"
    _hand_over(console, trace, title, (viz_tau.show, tau_figure), target, reading.facts)


@app.command()
def hebb(
    run: PlasticRun = None,
    text: Text = None,
    data: Data = None,
    generate: Generate = None,
    count: Count = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0; fast ones have no trace.")] = None,
    memory: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Begin with what --memory of las generate or chat wrote.")
    ] = None,
    save: Save = None,
    force: Force = False,
    json: TokenLines = False,
    screenshot: Screenshot = None,
) -> None:
    """How a plastic model's synapses change while it reads: text, norms, traces, what moved most. Piped: numbers.

    Example: las viz hebb --data gps --bytes 2000
    """
    from lasmlx.apps import viz_hebb
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.viz_input import read_input
    from lasmlx.data import tokenizer_of
    from lasmlx.stream import load_memory
    from lasmlx.viz import MOST_BYTES, expect_traces, hebb_figure, trace_hebb

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    expect_traces(model)
    tokenizer, fits = tokenizer_of(model.config, folder), target.fitting_bytes(console)
    asked: Any = {"text": text, "data": data, "generate": generate, "count": count}
    source = read_input(model, folder, **asked, fits=fits, most=MOST_BYTES, tokenizer=tokenizer)
    state = None if memory is None else load_memory(memory, model)
    whole = trace_hebb(model, source.data, tokenizer, state)
    trace = whole if layer is None else whole.only(layer)
    label = source.label if memory is None else f"{source.label}, after {memory}"
    _hand_over(console, trace, _title(model, folder, trace, label), (viz_hebb.show, hebb_figure), target)


@app.command()
def steps(
    run: PlasticRun = None,
    text: Text = None,
    data: Data = None,
    generate: Generate = None,
    count: Count = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0; fast ones take one step.")] = None,
    rtol: Annotated[float, typer.Option(min=0, help="The solver's relative tolerance.")] = 1e-3,
    save: Save = None,
    force: Force = False,
    json: TokenLines = False,
    screenshot: Screenshot = None,
) -> None:
    """How many steps an adaptive solver takes at each token, and whether hard tokens get more. Piped: numbers.

    Example: las viz steps --data gps --rtol 1e-4
    """
    from lasmlx.apps import viz_steps
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.terminal import stderr
    from lasmlx.apps.viz_input import read_input
    from lasmlx.data import tokenizer_of
    from lasmlx.ops import Adaptive
    from lasmlx.viz import MOST_BYTES, expect_steps, steps_figure, trace_steps

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    expect_steps(model)
    tokenizer, fits = tokenizer_of(model.config, folder), target.fitting_bytes(console)
    asked: Any = {"text": text, "data": data, "generate": generate, "count": count}
    source = read_input(model, folder, **asked, fits=fits, most=MOST_BYTES, tokenizer=tokenizer)
    with stderr().status("solving"):
        whole = trace_steps(model, source.data, tokenizer, Adaptive(rtol=rtol))
    trace = whole if layer is None else whole.only(layer)
    label = f"{source.label}; rtol {rtol:g}"
    _hand_over(console, trace, _title(model, folder, trace, label), (viz_steps.show, steps_figure), target)


@app.command()
def spikes(
    run: Annotated[
        Path | None, typer.Option(help="A run or model folder of a spiking-mamba; by default the newest run.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to read, for a model of text.")] = None,
    data: ReadFrom = None,
    generate: Generate = None,
    count: Count = None,
    sequence: Sequence = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer, from 0.")] = None,
    save: Save = None,
    force: Force = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines: one a tick, then a summary.")] = False,
    screenshot: Screenshot = None,
) -> None:
    """When neurons fire, how the paths are mixed, and the operations that spikes spare. Piped: numbers.

    Example: las viz spikes --run runs/spiking --data moby-dick --bytes 500
    """
    from lasmlx.apps import viz_spikes
    from lasmlx.apps.runs import find_model
    from lasmlx.apps.viz_spikes_input import read
    from lasmlx.viz import spikes_figure

    target = Target(save, force, json, screenshot)
    console = target.console()
    model, folder = find_model(run)
    asked: Any = {"text": text, "data": data, "generate": generate, "count": count, "sequence": sequence}
    reading = read(model, folder, **asked, fits=target.fitting_bytes(console))
    trace = reading.trace if layer is None else reading.trace.only(layer)
    words = _words(model, trace, len(reading.trace.layers))
    title = f"{folder.name}: {words}, mode {trace.mode}; {reading.label}"
    _hand_over(console, trace, title, (viz_spikes.show, spikes_figure), target, reading.facts)


@app.command()
def wiring(
    kind: Annotated[str, typer.Argument(help="auto-ncp, full or random.")] = "auto-ncp",
    inputs: Annotated[int, typer.Option(min=1, help="Sensory neurons.")] = 8,
    units: Annotated[int, typer.Option(min=1, help="Neurons.")] = 32,
    outputs: Annotated[int, typer.Option(min=1, help="Motor neurons.")] = 4,
    sparsity: Annotated[float, typer.Option(help="Share of synapses that are absent.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the synapses and their signs.")] = 0,
) -> None:
    """Who talks to whom in a wiring of neurons: layers, signs, density.

    Example: las viz wiring auto-ncp --units 24 --outputs 3
    """
    from lasmlx.apps import viz_wiring
    from lasmlx.apps.terminal import stdout

    made = viz_wiring.make_wiring(kind, inputs, units, outputs, sparsity, seed)  # type: ignore[arg-type]
    viz_wiring.show(stdout(), made, f"{kind}: {inputs} inputs, {units} neurons, {outputs} outputs, seed {seed}")


app.command()(kan)
app.command()(confusion)


def _hand_over(
    console: Console,
    trace: DtTrace | TauTrace | HebbTrace | StepsTrace | SpikesTrace,
    title: str,
    pictures: tuple[Callable[..., None], Callable[..., Any]],
    target: Target,
    facts: dict[str, Any] | None = None,
) -> None:
    """As a figure, a picture of the terminal, lines of numbers or a page in the terminal."""
    from lasmlx.apps import viz_rows, viz_screenshot
    from lasmlx.apps.terminal import stderr
    from lasmlx.viz import save_figure

    page, figure = pictures
    if target.save is not None:
        save_figure(figure(trace, title), target.save, overwrite=target.force)
        stderr().print(f"wrote {target.save}", soft_wrap=True)
    if target.screenshot is not None:
        page(console, trace, title)
        viz_screenshot.write(console, target.screenshot, f"las viz {trace.symbol}")
    elif target.json or (target.save is None and not console.is_terminal):
        viz_rows.write(trace, as_json=target.json, facts=facts)
    elif target.save is None:
        page(console, trace, title)


def _words(model: Any, trace: LayerTrace, count: int) -> str:
    which = f"layer {trace.layers[0]} of {count}" if len(trace.layers) < count else f"{count} layer{'s' * (count > 1)}"
    return f"{model.config.model_type}, {which} with {trace.values.shape[2]} {trace.units}"


def _title(model: Any, folder: Path, trace: TokenTrace, label: str) -> str:
    config, of = model.config, f"layer{'s' * (len(trace.layers) > 1)} {', '.join(map(str, trace.layers))}"
    return f"{folder.name}: {config.model_type}, rule {config.rule}, {of} of {len(model.cells)}; {label}"
