"""What a model of bytes or of sequences reads for a picture: bytes, or a sequence of a test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasmlx.data import SequenceData
    from lasmlx.viz import TauTrace


class Reading(NamedTuple):
    """A trace, what to call what was read, and what a summary says of it."""

    trace: TauTrace
    label: str
    facts: dict[str, Any]


def read(
    model: Any,
    folder: Path,
    *,
    text: str | None,
    data: str | None,
    count: int | None,
    sequence: int | None,
    fits: int,
) -> Reading:
    """The trace of the bytes or of the test sequence that was asked for.

    Args:
        count: how many bytes of data; None takes ``fits``.
        sequence: which of the test sequences, from 0; None the first.

    Raises:
        ValueError: the model has no time constants, or reads something else than what was asked for.
    """
    from lasmlx.apps.viz_input import read_input
    from lasmlx.viz import most_elements, trace_tau

    most = most_elements(model)
    expect_kind(model, text=text, data=data, count=count, sequence=sequence)
    if model.config.inputs:
        example = find_example(model, folder, data, sequence)
        trace = trace_tau(model, example.x, example.dt)
        words, facts = said(example, folder, trace.y)
        return Reading(trace, words, {"seconds": float(f"{trace.times[-1]:.6g}"), **facts})
    source = read_input(model, folder, text=text, data=data, count=count, fits=fits, most=most)
    trace = trace_tau(model, source.data)
    return Reading(trace, source.label, {"seconds": float(f"{trace.times[-1]:.6g}")})


def expect_kind(
    model: Any,
    *,
    text: str | None,
    data: str | None,
    count: int | None,
    sequence: int | None,
    generate: int | None = None,
) -> None:
    """Raise ``ValueError`` where what was asked for is not of the kind that the model reads."""
    from lasmlx.data import names_sequences

    if model.config.inputs:
        for name, given in (("--text", text), ("--bytes", count), ("--generate", generate)):
            if given is not None:
                raise ValueError(f"this model reads sequences, not bytes: {name} does not go, --sequence says which.")
        return
    if sequence is not None:
        raise ValueError("this model reads bytes, not sequences: --text or --data says which, --sequence does not go.")
    if data is not None and names_sequences(data):
        raise ValueError(f"this model reads bytes, not sequences as in {data}.")


class Example(NamedTuple):
    """A sequence of a test set."""

    data: SequenceData
    number: int  # of the test set, from 0
    x: NDArray[np.float32]  # (t, channels)
    dt: NDArray[np.float32]  # (t,), seconds


def find_example(model: Any, folder: Path, spec: str | None, index: int | None) -> Example:
    """Test sequence ``index``, by default the first, of ``spec``, by default of what the model was trained on.

    Raises:
        ValueError: there is none, or the model reads other vectors.
    """
    data, index = find_sequences(folder, spec), index or 0
    test = data.test
    expect_channels(model, data)
    if not 0 <= index < len(test):
        raise ValueError(f"--sequence is {index}, expected 0 to {len(test) - 1}: {data.name} has {len(test)} to test.")
    t = int(test.lengths[index])
    return Example(data, index, test.x[index, :t], test.dt[index, :t])


def expect_channels(model: Any, data: SequenceData) -> None:
    """Raise ``ValueError`` where the model reads other vectors."""
    if data.channels != model.config.inputs:
        raise ValueError(
            f"the sequences of {data.name} have {data.channels} channels, this model reads {model.config.inputs}."
        )


def said(example: Example, folder: Path, answer: NDArray[np.float32]) -> tuple[str, dict[str, Any]]:
    """Which sequence it is, what it is and what the model says of it: in words, and for a summary."""
    data, index = example.data, example.number
    words, facts = _said(answer, data, data.test.y[index], _classes(folder, data, len(answer)))
    return f"test sequence {index} of {data.name}: {words}", {"sequence": index, **facts}


def find_sequences(folder: Path, spec: str | None) -> SequenceData:
    """The sequences of ``spec``, by default those that the model was trained on.

    Raises:
        ValueError: they are none, or the folder does not say what they were.
    """
    from lasmlx.apps.runs import trained_on
    from lasmlx.data import DataError, load_sequences, names_sequences

    if spec is not None:
        if not names_sequences(spec):
            raise ValueError(f"this model reads sequences: --data is {spec!r}, expected ucr:NAME or FILE.npz.")
        return load_sequences(spec)
    trained = trained_on(folder)
    if len(trained) != 1 or not names_sequences(trained[0]):
        raise ValueError(f"{folder} does not say what it was trained on: name sequences with --data.")
    try:
        return load_sequences(trained[0])
    except DataError as error:
        raise ValueError(
            f"what {folder} was trained on cannot be had: {error} Name other sequences with --data."
        ) from None


def _classes(folder: Path, data: SequenceData, outputs: int) -> tuple[str, ...]:
    """What the model's outputs mean: as the run says, else as the data does; nothing if they are values."""
    from lasmlx.train.run import STATE_FILE

    path = folder / STATE_FILE
    classes = json.loads(path.read_text()).get("classes") if path.is_file() else None
    names = tuple(map(str, data.classes if classes is None else classes))
    if not names or len(names) == outputs:
        return names
    return tuple(f"class {i}" for i in range(outputs))


def _said(
    answer: NDArray[np.float32], data: SequenceData, y: Any, classes: tuple[str, ...]
) -> tuple[str, dict[str, Any]]:
    if not classes:
        values, answers = ([float(f"{v:.4g}") for v in np.ravel(of)] for of in (y, answer))
        words = [", ".join(f"{v:.3g}" for v in of) for of in (values, answers)]
        return f"{words[0]} (model: {words[1]})", {"values": values, "said": answers}
    share = np.exp(answer - answer.max())
    share /= share.sum()
    said, sure = classes[int(share.argmax())], float(share.max())
    true = data.classes[int(y)] if data.classes else ", ".join(f"{v:.3g}" for v in np.ravel(y))
    return f"{true} (model: {said}, {100 * sure:.0f} %)", {"class": true, "said": said, "sure": float(f"{sure:.4g}")}
