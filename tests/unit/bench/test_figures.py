"""Ratios, verdicts and the table made of them."""

from bench.figures import FIGURES, Better, Figure, Row, Samples
from bench.report import number, promise


def test_keys_are_unique() -> None:
    keys = [figure.key for figure in FIGURES]
    assert len(keys) == len(set(keys))


def test_rates_and_times_make_ratios_over_one_when_postino_is_faster() -> None:
    assert Row(Figure("k", "g", "t", "/s"), 300.0, 100.0, 1).ratio == 3
    assert Row(Figure("k", "g", "t", "ms", Better.LESS), 2.0, 8.0, 1).ratio == 4


def test_verdict_compares_with_the_promise() -> None:
    figure = Figure("k", "g", "t", "/s", ratio=2)
    assert Row(figure, 200.0, 100.0, 3).verdict == "ok"
    assert Row(figure, 199.0, 100.0, 3).verdict == "short"
    assert Row(figure, None, 100.0, 3).verdict == "missing"
    assert Row(Figure("k", "g", "t", "/s"), 1.0, 100.0, 3).verdict == ""


def test_limit_is_about_postino_alone() -> None:
    figure = Figure("k", "g", "t", "KB", Better.LESS, limit=40)
    assert Row(figure, 39.0, None, 1).verdict == "ok"
    assert Row(figure, 41.0, 500.0, 1).verdict == "short"
    assert promise(Row(figure, 41.0, None, 1)) == "<= 40 KB"


def test_rows_are_medians_in_the_order_of_the_figures() -> None:
    samples = Samples()
    for value in (3.0, 100.0, 2.0):
        samples.add("ours", "pop3.stat", value)
    samples.add("theirs", "imap.noop", 0.1)
    assert [(row.figure.key, row.postino, row.peers) for row in samples.rows("ours", "theirs")] == [
        ("imap.noop", None, 0.1),
        ("pop3.stat", 3.0, None),
    ]


def test_numbers_show_as_many_digits_as_are_worth_reading() -> None:
    assert number(1234567.8, "/s") == "1,234,568/s"
    assert number(0.1234, "ms") == "0.12 ms"
    assert number(None, "ms") == "-"
