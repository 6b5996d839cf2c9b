"""Byte sources, the corpora that ship, tokenizers, and batches. Knows no model."""

from lasmlx.data.corpus import Corpus
from lasmlx.data.errors import DataError
from lasmlx.data.evaluation import EvalBatch, eval_windows
from lasmlx.data.file_bytes import FileBytes
from lasmlx.data.files import FileError
from lasmlx.data.load import load_corpus
from lasmlx.data.sentences import train_sentencepiece
from lasmlx.data.sequence_set import SequenceData, SequenceSet, Statistics
from lasmlx.data.sequences import absolute_sequences, load_sequences, names_sequences
from lasmlx.data.shipped import CorpusCard, compressor_bits, corpus_names, describe_corpora
from lasmlx.data.source import ByteArray, ByteSource, Source
from lasmlx.data.table_spec import table_spec
from lasmlx.data.tokenizer import BYTES, ByteTokenizer, Tokenizer, load_tokenizer, tokenizer_of
from lasmlx.data.tokens import TokenSource, tokens_of
from lasmlx.data.windows import Batch, Windows

__all__ = [
    "BYTES",
    "Batch",
    "ByteArray",
    "ByteSource",
    "ByteTokenizer",
    "Corpus",
    "CorpusCard",
    "DataError",
    "EvalBatch",
    "FileBytes",
    "FileError",
    "SequenceData",
    "SequenceSet",
    "Source",
    "Statistics",
    "TokenSource",
    "Tokenizer",
    "Windows",
    "absolute_sequences",
    "compressor_bits",
    "corpus_names",
    "describe_corpora",
    "eval_windows",
    "load_corpus",
    "load_sequences",
    "load_tokenizer",
    "names_sequences",
    "table_spec",
    "tokenizer_of",
    "tokens_of",
    "train_sentencepiece",
]
