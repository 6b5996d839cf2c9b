"""What to draw, as data: series, heat maps, histograms, colours. No terminal code."""

from lasmlx.viz.dt import DtTrace, most_bytes, trace_dt
from lasmlx.viz.figure import ages_figure, check_target, dt_figure, save_figure, tau_figure
from lasmlx.viz.scale import (
    LEVEL,
    SPEED,
    LogScale,
    Scale,
    colour,
    even_ticks,
    ink,
    log_ticks,
    luminance,
    three_digits,
    time_unit,
)
from lasmlx.viz.tau import HeatMap, TauTrace, most_elements, trace_tau
from lasmlx.viz.text import DOT, byte_signs, text_columns, text_rows
from lasmlx.viz.trace import Histogram, LayerSummary, LayerTrace, Timeline, means_of_runs

__all__ = [
    "DOT",
    "LEVEL",
    "SPEED",
    "DtTrace",
    "HeatMap",
    "Histogram",
    "LayerSummary",
    "LayerTrace",
    "LogScale",
    "Scale",
    "TauTrace",
    "Timeline",
    "ages_figure",
    "byte_signs",
    "check_target",
    "colour",
    "dt_figure",
    "even_ticks",
    "ink",
    "log_ticks",
    "luminance",
    "means_of_runs",
    "most_bytes",
    "most_elements",
    "save_figure",
    "tau_figure",
    "text_columns",
    "text_rows",
    "three_digits",
    "time_unit",
    "trace_dt",
    "trace_tau",
]
