"""What one destination gets: order, connections, being let alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ids import AccountId, Instant
from postino.outbound.dispatch.destinations import MOST_BAD_HOSTS, BadHosts, Lane, Lanes
from postino.outbound.dispatch.retry import Retry
from postino.outbound.dispatch.work import Held, OctetsBudget, Trouble, Work
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.routes import Destination
from postino.smtp.envelope import MailOptions
from postino.store.queue.values import QueuedMessage, QueueId, QueueKind

NOW = Instant(1_000_000)
TROUBLE = Trouble("4.4.1", "No connection to mx.far.example:25: connection refused", "")
FAR = Destination("far.example", None, "far.example")


def work(number: int, priority: int = 0) -> Work:
    message = QueuedMessage(
        queue_id=QueueId(number),
        kind=QueueKind.SUBMITTED,
        account_id=AccountId(1),
        reverse_path="",
        message_id="m",
        options=MailOptions(priority=priority),
        size=1,
        created_at=NOW,
        expires_at=NOW,
        recipients=(),
    )
    return Work(Held(message, OctetsBudget(1), taken_at=0.0, leased_until=NOW), ())


def numbers(lane: Lane) -> list[int]:
    found = []
    while (one := lane.pop()) is not None:
        found.append(one.held.message.queue_id)
    return found


def lane_with(waiting: int, *, most: int = 20) -> Lane:
    lane = Lane(FAR, most)
    for number in range(waiting):
        lane.push(work(number))
    return lane


def retry() -> Retry:
    outbound = OutboundSettings()
    return Retry(lambda: outbound, lambda: 0.5)


def test_urgent_work_goes_first_else_the_oldest() -> None:
    lane = Lane(FAR, 5)
    for number, priority in enumerate((0, 3, 0, -2, 3)):
        lane.push(work(number, priority))
    assert numbers(lane) == [1, 4, 0, 2, 3]


def test_work_given_back_goes_before_its_equals() -> None:
    lane = lane_with(3)
    first = lane.pop()
    assert first is not None
    lane.push_first(first)
    lane.push(work(9, priority=1))
    assert numbers(lane) == [9, 0, 1, 2]


@pytest.mark.parametrize(
    ("waiting", "connections", "wanted"),
    [(0, 0, 0), (1, 0, 1), (1, 1, 0), (4, 1, 0), (5, 1, 1), (10, 0, 3), (10, 3, 0), (100, 0, 5), (100, 5, 0)],
)
def test_connections_go_by_what_waits(waiting: int, connections: int, wanted: int) -> None:
    lane = lane_with(waiting)
    lane.connections = connections
    assert lane.wanted() == wanted


def test_work_that_has_waited_gets_one_connection_more() -> None:
    lane = lane_with(1)
    lane.connections = 2
    assert lane.wanted() == 0
    assert lane.wanted(impatient=True) == 1


def test_success_opens_the_window_and_crowding_halves_it() -> None:
    lane = lane_with(1000)
    for _ in range(1000):
        lane.went_well()
    assert lane.wanted() == 20
    lane.connections = 20
    lane.too_many()
    assert lane.window == 10
    for _ in range(50):
        lane.too_many()
    lane.connections = 0
    assert lane.wanted() == 1


def test_a_closed_lane_is_probed_with_one_connection_until_it_answers() -> None:
    lane = lane_with(100)
    assert lane.close(NOW, retry(), TROUBLE) == NOW + 60
    assert lane.is_closed(NOW)
    assert not lane.is_closed(Instant(NOW + 60))
    assert lane.wanted() == 1
    assert lane.close(NOW, retry(), TROUBLE) == NOW + 120
    lane.went_well()
    assert lane.wanted() == 5
    assert lane.close(NOW, retry(), TROUBLE) == NOW + 60


@settings(max_examples=100)
@given(
    st.integers(1, 30),
    st.lists(st.sampled_from(["well", "many", "close", "push", "open", "end"]), max_size=200),
)
def test_there_are_never_more_connections_than_allowed_and_never_none_for_work(
    most: int, steps: list[str]
) -> None:
    lane = Lane(FAR, most)
    for number, step in enumerate(steps):
        match step:
            case "well":
                lane.went_well()
            case "many":
                lane.too_many()
            case "close":
                lane.close(NOW, retry(), TROUBLE)
            case "push":
                lane.push(work(number))
            case "open":
                lane.connections += lane.wanted()
            case "end":
                lane.connections = max(0, lane.connections - 1)
        assert lane.connections <= most
        if lane.waiting and not lane.connections:
            assert lane.wanted() >= 1


def test_lanes_are_forgotten_when_nothing_is_left_of_them() -> None:
    lanes = Lanes(lambda: 5)
    lane = lanes.lane(FAR)
    lane.push(work(1))
    lanes.tidy(lane)
    assert lanes.find("far.example") is lane
    lane.pop()
    lanes.tidy(lane)
    assert lanes.find("far.example") is None


def test_a_closed_lane_is_remembered_and_gets_what_changed_about_its_destination() -> None:
    lanes = Lanes(lambda: 5)
    lane = lanes.lane(FAR)
    lane.close(NOW, retry(), TROUBLE)
    lanes.tidy(lane)
    changed: Any = Destination("far.example", None, "sub.far.example")
    assert lanes.lane(changed) is lane
    assert lane.destination is changed


def test_hosts_are_bad_for_a_while() -> None:
    hosts = BadHosts()
    hosts.note("mx.example", NOW)
    assert hosts.has("mx.example", Instant(NOW + 299))
    assert not hosts.has("mx.example", Instant(NOW + 300))
    for number in range(MOST_BAD_HOSTS):
        hosts.note(f"mx{number}.example", NOW)
    assert not hosts.has("mx.example", NOW)
