"""What to draw, as data: series, heat maps, histograms, colours. No terminal code."""

from lasmlx.viz.dt import DtTrace, Histogram, LayerSummary, Timeline, most_bytes, trace_dt
from lasmlx.viz.figure import check_target, dt_figure, save_figure
from lasmlx.viz.scale import Scale, colour, even_ticks, ink, log_ticks, luminance, time_unit
from lasmlx.viz.text import DOT, byte_signs, text_columns, text_rows

__all__ = [
    "DOT",
    "DtTrace",
    "Histogram",
    "LayerSummary",
    "Scale",
    "Timeline",
    "byte_signs",
    "check_target",
    "colour",
    "dt_figure",
    "even_ticks",
    "ink",
    "log_ticks",
    "luminance",
    "most_bytes",
    "save_figure",
    "text_columns",
    "text_rows",
    "time_unit",
    "trace_dt",
]
