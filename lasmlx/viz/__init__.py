"""What to draw, as data: series, heat maps, histograms, colours. No terminal code."""

from lasmlx.viz.confusion import Confusion, Mistake, short_names, wilson
from lasmlx.viz.confusion_figure import confusion_figure
from lasmlx.viz.dt import DtTrace, most_bytes, trace_dt
from lasmlx.viz.figure import ages_figure, dt_figure, tau_figure
from lasmlx.viz.hebb import HebbTrace, Synapse, expect_traces, trace_hebb
from lasmlx.viz.kan import Edge, KANLayer, KANTrace, expect_splines, trace_kan
from lasmlx.viz.kan_figure import kan_figure
from lasmlx.viz.page import check_target, save_figure
from lasmlx.viz.plastic_figure import hebb_figure, steps_figure
from lasmlx.viz.scale import (
    LEVEL,
    SIGNED,
    SPEED,
    LogScale,
    Scale,
    colour,
    even_ticks,
    ink,
    log_ticks,
    luminance,
    percent,
    three_digits,
    time_unit,
)
from lasmlx.viz.spikes import LayerActivity, Raster, SpikesTrace, most_ticks, trace_spikes
from lasmlx.viz.spikes_figure import spikes_figure
from lasmlx.viz.steps import HardToken, Quarter, StepsHistogram, StepsTrace, expect_steps, trace_steps
from lasmlx.viz.tables import hardest_rows, operation_rows, readable, synapse_rows
from lasmlx.viz.tau import HeatMap, TauTrace, most_elements, trace_tau
from lasmlx.viz.text import DOT, byte_signs, text_columns, text_rows
from lasmlx.viz.tokens import MOST_BYTES, TokenTrace
from lasmlx.viz.trace import Histogram, LayerSummary, LayerTrace, Timeline, means_of_runs

__all__ = [
    "DOT",
    "LEVEL",
    "MOST_BYTES",
    "SIGNED",
    "SPEED",
    "Confusion",
    "DtTrace",
    "Edge",
    "HardToken",
    "HeatMap",
    "HebbTrace",
    "Histogram",
    "KANLayer",
    "KANTrace",
    "LayerActivity",
    "LayerSummary",
    "LayerTrace",
    "LogScale",
    "Mistake",
    "Quarter",
    "Raster",
    "Scale",
    "SpikesTrace",
    "StepsHistogram",
    "StepsTrace",
    "Synapse",
    "TauTrace",
    "Timeline",
    "TokenTrace",
    "ages_figure",
    "byte_signs",
    "check_target",
    "colour",
    "confusion_figure",
    "dt_figure",
    "even_ticks",
    "expect_splines",
    "expect_steps",
    "expect_traces",
    "hardest_rows",
    "hebb_figure",
    "ink",
    "kan_figure",
    "log_ticks",
    "luminance",
    "means_of_runs",
    "most_bytes",
    "most_elements",
    "most_ticks",
    "operation_rows",
    "percent",
    "readable",
    "save_figure",
    "short_names",
    "spikes_figure",
    "steps_figure",
    "synapse_rows",
    "tau_figure",
    "text_columns",
    "text_rows",
    "three_digits",
    "time_unit",
    "trace_dt",
    "trace_hebb",
    "trace_kan",
    "trace_spikes",
    "trace_steps",
    "trace_tau",
    "wilson",
]
