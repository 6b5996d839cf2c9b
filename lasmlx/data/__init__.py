"""Byte sources, the corpora that ship, and batches. Knows no model."""

from lasmlx.data.corpus import Corpus
from lasmlx.data.errors import DataError
from lasmlx.data.evaluation import EvalBatch, eval_windows
from lasmlx.data.file_bytes import FileBytes
from lasmlx.data.load import load_corpus
from lasmlx.data.sequences import SequenceData, SequenceSet, load_sequences, names_sequences
from lasmlx.data.shipped import CorpusCard, compressor_bits, corpus_names, describe_corpora
from lasmlx.data.source import ByteArray, ByteSource
from lasmlx.data.windows import Batch, Windows

__all__ = [
    "Batch",
    "ByteArray",
    "ByteSource",
    "Corpus",
    "CorpusCard",
    "DataError",
    "EvalBatch",
    "FileBytes",
    "SequenceData",
    "SequenceSet",
    "Windows",
    "compressor_bits",
    "corpus_names",
    "describe_corpora",
    "eval_windows",
    "load_corpus",
    "load_sequences",
    "names_sequences",
]
