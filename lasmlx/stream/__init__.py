"""Sessions, generation and pacing: a model at the speed of a serial line."""

from lasmlx.stream.evaluate import Score, evaluate_native, stream_bits
from lasmlx.stream.generate import Producer, generate, producer
from lasmlx.stream.memory import Remembering, load_memory, save_memory
from lasmlx.stream.native import NativeModel, Session, State, Weights, supported_isas
from lasmlx.stream.pace import MAX_BAUD, MIN_BAUD, StreamReport, stream

__all__ = [
    "MAX_BAUD",
    "MIN_BAUD",
    "NativeModel",
    "Producer",
    "Remembering",
    "Score",
    "Session",
    "State",
    "StreamReport",
    "Weights",
    "evaluate_native",
    "generate",
    "load_memory",
    "producer",
    "save_memory",
    "stream",
    "stream_bits",
    "supported_isas",
]
