"""The library's one timer, and side-by-side measurements whose parity is checked before a number is taken."""

from lasmlx.benchmark.chip import ChipRow, KernelRow, measure_chip, measure_kernel
from lasmlx.benchmark.kan import KANRow, measure_kan
from lasmlx.benchmark.latency import LatencyRow, measure_latency
from lasmlx.benchmark.lif import LIFRow, measure_lif
from lasmlx.benchmark.liquid import LTCRow, measure_ltc
from lasmlx.benchmark.machine import Provenance, provenance
from lasmlx.benchmark.models import LengthRow, ModelRow, measure_lengths, measure_models, sized_contenders
from lasmlx.benchmark.modes import AttentionRow, ModeRow, measure_attention, measure_modes
from lasmlx.benchmark.parity import ParityError, check_parity, relative_error
from lasmlx.benchmark.peers import PeerError, Peers, open_peers
from lasmlx.benchmark.plastic import PlasticRow, measure_blocks, measure_plastic, measure_plastic_liquid
from lasmlx.benchmark.records import Note, Row, Stage
from lasmlx.benchmark.scan import ScanRow, measure_scan
from lasmlx.benchmark.sequences import SequenceRow, measure_sequences
from lasmlx.benchmark.soak import SoakRow, measure_soak
from lasmlx.benchmark.step import StepRow, measure_step
from lasmlx.benchmark.timer import Timing, measure, measure_together
from lasmlx.benchmark.training import TrainRow, measure_training

__all__ = [
    "AttentionRow",
    "ChipRow",
    "KANRow",
    "KernelRow",
    "LIFRow",
    "LTCRow",
    "LatencyRow",
    "LengthRow",
    "ModeRow",
    "ModelRow",
    "Note",
    "ParityError",
    "PeerError",
    "Peers",
    "PlasticRow",
    "Provenance",
    "Row",
    "ScanRow",
    "SequenceRow",
    "SoakRow",
    "Stage",
    "StepRow",
    "Timing",
    "TrainRow",
    "check_parity",
    "measure",
    "measure_attention",
    "measure_blocks",
    "measure_chip",
    "measure_kan",
    "measure_kernel",
    "measure_latency",
    "measure_lengths",
    "measure_lif",
    "measure_ltc",
    "measure_models",
    "measure_modes",
    "measure_plastic",
    "measure_plastic_liquid",
    "measure_scan",
    "measure_sequences",
    "measure_soak",
    "measure_step",
    "measure_together",
    "measure_training",
    "open_peers",
    "provenance",
    "relative_error",
    "sized_contenders",
]
