"""Sessions, generation and pacing: a model at the speed of a serial line."""

from lasmlx.stream.evaluate import Score, evaluate_native, stream_bits
from lasmlx.stream.generate import Producer, generate, producer
from lasmlx.stream.native import NativeModel, Session, State, Weights, supported_isas
from lasmlx.stream.pace import MAX_BAUD, MIN_BAUD, StreamReport, stream

__all__ = [
    "MAX_BAUD",
    "MIN_BAUD",
    "NativeModel",
    "Producer",
    "Score",
    "Session",
    "State",
    "StreamReport",
    "Weights",
    "evaluate_native",
    "generate",
    "producer",
    "stream",
    "stream_bits",
    "supported_isas",
]
