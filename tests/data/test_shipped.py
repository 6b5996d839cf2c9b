import hashlib
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from lasmlx.data import Corpus, DataError, corpus_names, describe_corpora, load_corpus
from lasmlx.data import shipped as module

FOLDER = resources.files("lasmlx.data").joinpath("corpora")


def raw(corpus: Corpus, *splits: str) -> dict[str, bytes]:
    """Each document of the training part and of the splits, its pieces joined again."""
    found: dict[str, bytes] = {}
    for source in [corpus.train, *(corpus.held_out[split] for split in splits)]:
        at = 0
        for name, size in zip(source.names, source.sizes, strict=True):
            found[name] = found.get(name, b"") + source[at : at + size].tobytes()
            at += size
    return found


def test_the_raw_bytes_are_those_of_the_readme() -> None:
    stated = dict(re.findall(r"\| `(\S+)` \| `([0-9a-f]{64})` \|", FOLDER.joinpath("README.md").read_text()))
    gps = raw(load_corpus("gps"), "later", "unseen")
    assert hashlib.sha256(b"".join(gps[name] for name in sorted(gps))).hexdigest() == stated["gps"]
    moby = raw(load_corpus("moby-dick"), "held-out")
    assert hashlib.sha256(moby["moby-dick.txt"]).hexdigest() == stated["moby-dick"]
    assert stated == {"gps": module.GPS_SHA256, "moby-dick": module.MOBY_DICK_SHA256}


def test_gps_unseen_receivers_are_whole_and_nowhere_else() -> None:
    corpus = load_corpus("gps")
    unseen = corpus.held_out["unseen"]
    assert unseen.names == ("gr601-w.nmea", "mt3339.nmea", "mtk-3301.nmea", "neo-m8n.nmea", "rst39.nmea")
    assert unseen.sizes == (4497, 8817, 4888, 17044, 11040)
    assert corpus.held_out["later"].names == corpus.train.names
    assert len(corpus.train.names) == 36
    assert not set(unseen.names) & set(corpus.train.names)


def test_gps_later_is_the_last_tenth_cut_at_a_line_end() -> None:
    corpus = load_corpus("gps")
    later, at_train, at_later = corpus.held_out["later"], 0, 0
    for size, tail in zip(corpus.train.sizes, later.sizes, strict=True):
        head = corpus.train[at_train : at_train + size].tobytes()
        assert head.endswith(b"\r\n") and later[at_later : at_later + 1].tobytes() in (b"$", b"!")
        cut = (size + tail) * 9 // 10
        assert size >= cut and b"\n" not in head[cut - 1 : -1]
        at_train, at_later = at_train + size, at_later + tail


def test_moby_dick_holds_its_last_tenth_out() -> None:
    corpus = load_corpus("moby-dick")
    assert len(corpus.train) == 1_204_997 * 9 // 10
    assert len(corpus.held_out["held-out"]) == 1_204_997 - 1_204_997 * 9 // 10


def test_val_is_the_formula_and_goes_on() -> None:
    corpus = load_corpus("val")
    lines = "".join(f"val: {np.sin(x):.3f}\n" for x in np.linspace(0, 100, 10000))
    assert corpus.train[:].tobytes() == lines.encode()
    beyond = "".join(f"val: {np.sin(x):.3f}\n" for x in np.linspace(0, 100 * 10999 / 9999, 11000)[10000:])
    assert corpus.held_out["continued"][:].tobytes() == beyond.encode()


def test_cards_tell_the_sizes() -> None:
    cards = {card.name: card for card in describe_corpora()}
    assert tuple(cards) == corpus_names() == ("gps", "moby-dick", "val")
    assert cards["gps"].train_bytes == 837_962
    assert cards["gps"].held_out_bytes == {"later": 91_929, "unseen": 46_286}
    assert cards["gps"].licence == "BSD-2-Clause"
    assert cards["moby-dick"].held_out_bytes == {"held-out": 120_500}
    assert cards["val"].held_out_bytes == {"continued": 11_372}
    assert all("\n" not in card.description for card in cards.values())


def test_the_licence_ships() -> None:
    assert "BSD-2-Clause" in FOLDER.joinpath("LICENSE.gpsd").read_text()


@pytest.mark.parametrize("damage", ["absent", "cut", "foreign"])
def test_a_damaged_package_is_refused_by_name(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpora").mkdir()
    packed = FOLDER.joinpath("moby-dick.txt.xz").read_bytes()
    if damage == "cut":
        (tmp_path / "corpora" / "moby-dick.txt.xz").write_bytes(packed[:1000])
    elif damage == "foreign":
        (tmp_path / "corpora" / "moby-dick.txt.xz").write_bytes(FOLDER.joinpath("gps.tar.xz").read_bytes())
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match=r"the packaged corpus moby-dick\.txt\.xz .*reinstall lasmlx"):
        load_corpus("moby-dick")
