"""The schedule of retries."""

import pytest

from postino.core.ids import Instant
from postino.outbound.dispatch.retry import Retry
from postino.outbound.settings import OutboundSettings

NOW = Instant(1_000_000)


def after(chance: float, attempts: int, **fields: bool) -> int:
    settings = OutboundSettings()
    return Retry(lambda: settings, lambda: chance).again(NOW, attempts, **fields) - NOW


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 300), (1, 600), (2, 1200), (5, 9600), (6, 14_400), (7, 14_400), (10_000, 14_400)],
)
def test_a_recipient_waits_twice_as_long_each_time(attempts: int, seconds: int) -> None:
    assert after(0.5, attempts) == seconds
    assert after(0.0, attempts) == round(seconds * 0.8)
    assert round(seconds * 1.19) < after(0.999, attempts) <= round(seconds * 1.2)


def test_greylisting_is_answered_within_minutes_and_then_as_usual() -> None:
    assert after(0.5, 0, greylisted=True) == 60
    # Together more than the five minutes many ask for.
    assert after(0.0, 0, greylisted=True) + after(0.0, 1, greylisted=True) > 285
    assert after(0.5, 1, greylisted=True) == 300


@pytest.mark.parametrize(("failures", "seconds"), [(1, 60), (2, 120), (6, 1920), (7, 3600), (500, 3600)])
def test_a_destination_is_let_alone_twice_as_long_each_time(failures: int, seconds: int) -> None:
    settings = OutboundSettings()
    assert Retry(lambda: settings, lambda: 0.5).open_again(NOW, failures) == NOW + seconds


def test_a_host_of_the_operators_choice_is_tried_every_few_minutes() -> None:
    settings = OutboundSettings()
    retry = Retry(lambda: settings, lambda: 0.5)
    times = [retry.open_again(NOW, failures, is_route=True) - NOW for failures in (1, 2, 3, 4, 9)]
    assert times == [60, 120, 240, 300, 300]


def test_what_waits_for_a_destination_comes_after_the_probe_and_not_all_at_once() -> None:
    settings = OutboundSettings()
    chances = iter((0.0, 0.5, 0.999))
    retry = Retry(lambda: settings, lambda: next(chances))
    times = [retry.after_opening(Instant(NOW + 1000), NOW) for _ in range(3)]
    assert times == [NOW + 1001, NOW + 1101, NOW + 1200]


def test_settings_that_change_hold_for_the_next_retry() -> None:
    settings = [OutboundSettings()]
    retry = Retry(lambda: settings[0], lambda: 0.5)
    settings[0] = OutboundSettings(retry_seconds=10.0, longest_retry_seconds=30.0)
    assert [retry.again(NOW, attempts) - NOW for attempts in range(4)] == [10, 20, 30, 30]
    assert retry.open_again(NOW, 9) == NOW + 30
