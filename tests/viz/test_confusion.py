"""What a confusion matrix says, against numbers that can be counted by hand and other ways to the same."""

import math

import numpy as np
import pytest

from lasmlx.viz import Confusion, confusion_figure, short_names, wilson

COUNTS = np.array([[8, 2, 0, 0], [1, 3, 1, 0], [0, 0, 0, 0], [2, 0, 0, 2]])
OF = Confusion(("a", "b", "never", "d"), COUNTS)


def test_the_numbers_of_a_small_matrix() -> None:
    assert (OF.total, OF.right, OF.accuracy) == (19, 13, 13 / 19)
    assert OF.occurrences.tolist() == [10, 5, 0, 4]
    np.testing.assert_allclose(OF.recall, [0.8, 0.6, np.nan, 0.5])
    np.testing.assert_allclose(OF.precision, [8 / 11, 3 / 5, 0, 1])
    np.testing.assert_allclose(OF.f1, [16 / 21, 6 / 10, 0, 4 / 6])
    assert OF.balanced_accuracy == pytest.approx((0.8 + 0.6 + 0.5) / 3)  # of the classes that occur
    assert OF.macro_f1 == pytest.approx((16 / 21 + 0.6 + 0 + 4 / 6) / 4)  # "never" was said once
    np.testing.assert_allclose(OF.shares[1], [0.2, 0.6, 0.2, 0])
    assert OF.shares[2].tolist() == [0] * 4


def test_f1_is_the_harmonic_mean() -> None:
    counts = np.random.default_rng(0).integers(1, 50, (7, 7))
    of = Confusion(tuple("abcdefg"), counts)
    np.testing.assert_allclose(of.f1, 2 / (1 / of.recall + 1 / of.precision))
    assert of.accuracy == pytest.approx(np.average(of.recall, weights=of.occurrences))


def test_the_worst_mistakes() -> None:
    found = [(m.true, m.said, m.times, m.of) for m in OF.worst(10)]
    assert found == [
        ("d", "a", 2, 4),
        ("a", "b", 2, 10),
        ("b", "a", 1, 5),
        ("b", "never", 1, 5),
    ]  # the rarer class first
    assert OF.worst(10)[0].share == 0.5 and len(OF.worst(2)) == 2
    assert Confusion(("a", "b"), np.diag([3, 4])).worst(5) == []


def test_wilsons_interval() -> None:
    assert wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4)) and wilson(10, 10)[1] == pytest.approx(1)
    for right, total in ((3, 7), (50, 200)):
        for end in wilson(right, total):  # where the share lies 1.96 deviations of that end away
            assert abs(right / total - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / total))
    with pytest.raises(ValueError, match="right is 3 of 2"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="right is 0 of 0"):
        wilson(0, 0)


def test_names_are_cut_and_stay_different() -> None:
    assert short_names(["Lorenz", "Lorenz84", "Chen"], 6) == ["Lorenz", "Lor…84", "Chen"]
    assert short_names(["up", "down"], 3) == ["up", "dow"]
    assert short_names([f"word {i:03d}" for i in range(150)], 6)[149] == "…d 149"
    assert short_names(["aaab", "aaac", "aaad"], 1) == ["0", "1", "2"]
    for width in range(1, 9):
        cut = short_names(["walking", "walking up", "walking down", "sitting"], width)
        assert max(map(len, cut)) <= width and len(set(cut)) == 4


@pytest.mark.parametrize(
    ("classes", "counts", "message"),
    [
        (("a", "b"), np.zeros((2, 3), int), r"shape \(2, 3\), expected \(2, 2\)"),
        ((), np.zeros((0, 0), int), "expected"),
        (("a",), np.array([[0]]), "0 or more and one above 0"),
        (("a", "b"), np.array([[1, -1], [0, 2]]), "counts are -1 to 2"),
    ],
)
def test_mistakes(classes: tuple[str, ...], counts: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Confusion(classes, counts)


def test_a_figure_has_every_count() -> None:
    figure = confusion_figure(OF, "a title")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert [w for w in words if w in ("8", "2", "1", "3")] == ["8", "2", "1", "3", "1", "2", "2"]
    assert {"recall", "80 %", "73 %", "0.67", "10", "-"} <= set(words)
    many = Confusion(tuple(f"class ${i}" for i in range(70)), np.eye(70, dtype=int))
    names = [label.get_text() for label in confusion_figure(many).axes[0].get_yticklabels()]
    assert len(names) == 35 and names[1] == r"class \$2"
