import difflib
from collections.abc import Sequence
from pathlib import Path

from lasmlx.data.corpus import Corpus
from lasmlx.data.errors import DataError
from lasmlx.data.paths import path_corpus, stdin_corpus
from lasmlx.data.shipped import corpus_names, shipped_corpus
from lasmlx.data.source import ByteSource


def load_corpus(specs: str | Sequence[str]) -> Corpus:
    """Find the data that `specs` mean. Files stay on the disk until their bytes are asked for.

    Args:
        specs: each the name of a corpus that ships (`gps`, `moby-dick`, `val`), a file, a folder, or `-` for standard
            input. A name means the corpus, also beside a file called so: that is `./gps`. Of several, the train parts
            are joined, and every held-out split keeps to itself as `<part>/<split>`.

    Returns:
        The corpus. The last tenth of each file is held out; how the corpora that ship are split is in their README.

    Raises:
        DataError: a spec is unknown, given twice, unreadable, or has no bytes.
    """
    wanted = [specs] if isinstance(specs, str) else list(specs)
    if not wanted or "" in wanted:
        raise DataError(f"no data was given; expected {_EXPECTED}.")
    twice = next((spec for spec in wanted if wanted.count(spec) > 1), None)
    if twice is not None:
        raise DataError(f"the data {twice!r} is given twice; give it once.")
    parts = [_resolve(spec) for spec in wanted]
    if len(parts) == 1:
        return parts[0]
    names = [part.name for part in parts]
    keys = [spec if names.count(part.name) > 1 else part.name for spec, part in zip(wanted, parts, strict=True)]
    return Corpus(
        "+".join(keys),
        ByteSource.join(part.train for part in parts),
        {
            f"{key}/{split}": source
            for key, part in zip(keys, parts, strict=True)
            for split, source in part.held_out.items()
        },
    )


_EXPECTED = f"{', '.join(corpus_names())}, a file, a folder, or - for standard input"


def _resolve(spec: str) -> Corpus:
    if spec in corpus_names():
        return shipped_corpus(spec)
    if spec == "-":
        return stdin_corpus()
    try:
        return path_corpus(Path(spec).expanduser())
    except (FileNotFoundError, NotADirectoryError) as error:
        near = difflib.get_close_matches(spec.lower(), corpus_names())
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise DataError(f"{spec!r} is neither a corpus nor an existing path; expected {_EXPECTED}.{hint}") from error
