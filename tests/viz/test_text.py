"""One column a byte, whatever the bytes."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lasmlx.viz import byte_signs, text_columns, text_rows


def test_signs() -> None:
    assert byte_signs(b"a b\n\r\t\x00\x7f") == ["a", " ", "b", "␊", "␍", "␉", "␀", "␡"]
    assert byte_signs("é€".encode()) == ["é", "·", "€", "·", "·"]
    assert byte_signs("你😀".encode()) == ["你", "", "·", "😀", "", "·", "·"]
    assert byte_signs(b"\xff\xc3(\xe4\xbd") == ["·", "·", "(", "·", "·"]
    assert byte_signs("e\u0301\u200b".encode()) == ["e", "·", "·", "·", "·", "·"]


@given(st.one_of(st.binary(max_size=60), st.text(max_size=40).map(lambda s: s.encode("utf-8", "replace"))))
def test_a_sign_for_each_byte(data: bytes) -> None:
    assert len(byte_signs(data)) == len(data)


def test_as_many_columns_as_bytes() -> None:
    for char in "aé€·├你한😀あ":
        signs = byte_signs(char.encode())
        assert cell_len("".join(signs)) == len(signs) and signs[0] == char


@given(data=st.binary(max_size=200), width=st.integers(1, 50))
def test_rows_hold_every_byte_in_order(data: bytes, width: int) -> None:
    rows = text_rows(data, width)
    lines = [line for row in rows for line in row]
    assert b"".join(data[start:stop] for start, stop in lines) == data
    assert all(b"\n" not in data[start : stop - 1] for start, stop in lines)
    step = text_columns(rows)
    assert all((len(row) - 1) * step + row[-1][1] - row[-1][0] <= width for row in rows)


def test_short_lines_stand_side_by_side() -> None:
    assert text_rows(b"abc\nabc\nabc\n", 10) == [[(0, 4), (4, 8)], [(8, 12)]]
