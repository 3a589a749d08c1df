"""The four state machines of RFC 3261 §17 with RFC 6026: each state, event and timer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sipstack.message import Request, Response, make_response
from sipstack.transaction import (
    Deliver,
    Effect,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Terminated,
    TimedOut,
    Timers,
    Transaction,
    Transmit,
    TransportFailed,
    cancelled_key,
    client_key,
    make_ack,
    server_key,
)

START = 100.0
BRANCH = "z9hG4bK776asdhds"


def make_request(
    method: str = "INVITE",
    *,
    branch: str = BRANCH,
    sent_by: str = "192.0.2.1:5060",
    to: str = "<sip:bob@example.net>",
    cseq: int = 7,
    cseq_method: str = "",
    extra: Sequence[tuple[str, str]] = (),
) -> Request:
    headers = [
        ("Via", f"SIP/2.0/UDP {sent_by};rport;branch={branch}"),
        *extra,
        ("Max-Forwards", "70"),
        ("From", '"Alice" <sip:alice@example.org>;tag=1928301774'),
        ("To", to),
        ("Call-ID", "a84b4c76e66710"),
        ("CSeq", f"{cseq} {cseq_method or method}"),
    ]
    return Request(method, "sip:bob@example.net", headers)


INVITE = make_request()
OPTIONS = make_request("OPTIONS")


def answer(status: int, request: Request, tag: str = "8321234356") -> Response:
    return make_response(request, status, to_tag=tag if status > 100 else None)


def kinds(effects: Sequence[Effect]) -> list[str]:
    """Effects as short words: "send ACK", "send 486", "up 200", "timed out", ..."""
    words = []
    for effect in effects:
        match effect:
            case Transmit(Request() as request):
                words.append(f"send {request.method}")
            case Transmit(Response() as response):
                words.append(f"send {response.status}")
            case Deliver(Request() as request):
                words.append(f"up {request.method}")
            case Deliver(Response() as response):
                words.append(f"up {response.status}")
            case TimedOut():
                words.append("timed out")
            case TransportFailed():
                words.append("transport failed")
            case Terminated():
                words.append("terminated")
    return words


def play(machine: Transaction, until: float = 1000.0) -> list[tuple[float, list[str]]]:
    """Tick at each deadline until there is none: what happened, by seconds since START."""
    seen = []
    while machine.deadline is not None and machine.deadline <= START + until:
        now = machine.deadline
        seen.append((round(now - START, 6), kinds(machine.tick(now))))
    return seen


# -- machines in each of their states, by public calls only --------------------------------------


def invite_client(state: str, reliable: bool = False) -> InviteClient:
    machine = InviteClient(INVITE, reliable)
    machine.start(START)
    status = {"Proceeding": 180, "Completed": 486, "Accepted": 200}.get(state)
    if status:
        machine.receive(answer(status, INVITE), START)
    return machine


def non_invite_client(state: str, reliable: bool = False) -> NonInviteClient:
    machine = NonInviteClient(OPTIONS, reliable)
    machine.start(START)
    status = {"Proceeding": 100, "Completed": 200}.get(state)
    if status:
        machine.receive(answer(status, OPTIONS), START)
    return machine


def invite_server(state: str, reliable: bool = False) -> InviteServer:
    machine = InviteServer(INVITE, reliable)
    machine.start(START)
    if state in ("Completed", "Confirmed"):
        machine.respond(answer(486, INVITE), START)
    if state == "Confirmed":
        machine.receive(make_ack(INVITE, answer(486, INVITE)), START)
    if state == "Accepted":
        machine.respond(answer(200, INVITE), START)
    return machine


def non_invite_server(state: str, reliable: bool = False) -> NonInviteServer:
    machine = NonInviteServer(OPTIONS, reliable)
    machine.start(START)
    status = {"Proceeding": 100, "Completed": 200}.get(state)
    if status:
        machine.respond(answer(status, OPTIONS), START)
    return machine


# -- each state with each event ------------------------------------------------------------------

CLIENT_EVENTS = ["100", "180", "200", "302", "407", "486", "503", "603", "transport error"]
SERVER_EVENTS = ["request", "ACK", "100", "180", "200", "302", "486", "603", "transport error"]

Move = tuple[list[str], str]


def client_event(
    machine: InviteClient | NonInviteClient, event: str, now: float = START + 0.1
) -> list[str]:
    if event == "transport error":
        return kinds(machine.transport_failed(now))
    return kinds(machine.receive(answer(int(event), machine.request), now))


def server_event(
    machine: InviteServer | NonInviteServer, event: str, now: float = START + 0.1
) -> list[str]:
    if event == "transport error":
        return kinds(machine.transport_failed(now))
    if event == "request":
        return kinds(machine.receive(machine.request, now))
    if event == "ACK":
        return kinds(machine.receive(make_ack(machine.request, answer(486, INVITE)), now))
    return kinds(machine.respond(answer(int(event), machine.request), now))


def final(event: str) -> bool:
    return event.isdigit() and int(event) >= 200


def invite_client_should(state: str, event: str) -> Move:
    failure = event.isdigit() and int(event) >= 300
    match state:
        case "Calling" | "Proceeding" if event in ("100", "180"):
            return [f"up {event}"], "Proceeding"
        case "Calling" | "Proceeding" if event == "200":
            return ["up 200"], "Accepted"
        case "Calling" | "Proceeding" if failure:
            return ["send ACK", f"up {event}"], "Completed"
        case "Calling" | "Completed" if event == "transport error":
            return ["transport failed", "terminated"], "Terminated"
        case "Completed" if failure:
            return ["send ACK"], "Completed"
        case "Accepted" if event == "200":
            return ["up 200"], "Accepted"
        case _:
            return [], state


def non_invite_client_should(state: str, event: str) -> Move:
    match state:
        case "Trying" | "Proceeding" if event == "transport error":
            return ["transport failed", "terminated"], "Terminated"
        case "Trying" | "Proceeding" if final(event):
            return [f"up {event}"], "Completed"
        case "Trying" | "Proceeding":
            return [f"up {event}"], "Proceeding"
        case _:
            return [], state


def invite_server_should(state: str, event: str) -> Move:
    match state, event:
        case "Proceeding", "100" | "180":
            return [f"send {event}"], "Proceeding"
        case "Proceeding", "200":
            return ["send 200"], "Accepted"
        case "Proceeding", "302" | "486" | "603":
            return [f"send {event}"], "Completed"
        case "Completed", "request":
            return ["send 486"], "Completed"
        case "Completed", "ACK":
            return [], "Confirmed"
        case "Accepted", "200":
            return ["send 200"], "Accepted"
        case "Accepted", "ACK":
            return ["up ACK"], "Accepted"
        case "Proceeding" | "Completed" | "Accepted", "transport error":
            return ["transport failed"], state
        case _:
            return [], state


def non_invite_server_should(state: str, event: str) -> Move:
    match state, event:
        case "Trying" | "Proceeding", "100" | "180":
            return [f"send {event}"], "Proceeding"
        case "Trying" | "Proceeding", "200" | "302" | "486" | "603":
            return [f"send {event}"], "Completed"
        case "Proceeding", "request":
            return ["send 100"], "Proceeding"
        case "Completed", "request":
            return ["send 200"], "Completed"
        case "Proceeding" | "Completed", "transport error":
            return ["transport failed"], state
        case _:
            return [], state


@pytest.mark.parametrize("event", CLIENT_EVENTS)
@pytest.mark.parametrize("state", ["Calling", "Proceeding", "Completed", "Accepted"])
def test_invite_client_moves_as_figure_5(state: str, event: str) -> None:
    machine = invite_client(state)
    assert machine.state.value == state
    assert (client_event(machine, event), machine.state.value) == invite_client_should(state, event)


@pytest.mark.parametrize("event", CLIENT_EVENTS)
@pytest.mark.parametrize("state", ["Trying", "Proceeding", "Completed"])
def test_non_invite_client_moves_as_figure_6(state: str, event: str) -> None:
    machine = non_invite_client(state)
    assert machine.state.value == state
    moved = client_event(machine, event), machine.state.value
    assert moved == non_invite_client_should(state, event)


@pytest.mark.parametrize("event", SERVER_EVENTS)
@pytest.mark.parametrize("state", ["Proceeding", "Completed", "Confirmed", "Accepted"])
def test_invite_server_moves_as_figure_7(state: str, event: str) -> None:
    machine = invite_server(state)
    assert machine.state.value == state
    assert (server_event(machine, event), machine.state.value) == invite_server_should(state, event)


@pytest.mark.parametrize("event", [event for event in SERVER_EVENTS if event != "ACK"])
@pytest.mark.parametrize("state", ["Trying", "Proceeding", "Completed"])
def test_non_invite_server_moves_as_figure_8(state: str, event: str) -> None:
    machine = non_invite_server(state)
    assert machine.state.value == state
    moved = server_event(machine, event), machine.state.value
    assert moved == non_invite_server_should(state, event)


# -- timers, to the letter -----------------------------------------------------------------------


def test_timer_a_doubles_without_bound_and_timer_b_gives_up_after_64_t1() -> None:
    machine = InviteClient(INVITE, reliable=False)
    assert kinds(machine.start(START)) == ["send INVITE"]
    assert play(machine) == [
        (0.5, ["send INVITE"]),
        (1.5, ["send INVITE"]),
        (3.5, ["send INVITE"]),
        (7.5, ["send INVITE"]),
        (15.5, ["send INVITE"]),
        (31.5, ["send INVITE"]),
        (32.0, ["timed out", "terminated"]),
    ]
    assert machine.state.value == "Terminated"


def test_timer_e_doubles_up_to_t2_and_timer_f_gives_up_after_64_t1() -> None:
    machine = NonInviteClient(OPTIONS, reliable=False)
    assert kinds(machine.start(START)) == ["send OPTIONS"]
    times = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert play(machine) == [
        *((time, ["send OPTIONS"]) for time in times),
        (32.0, ["timed out", "terminated"]),
    ]


def test_timer_e_is_t2_once_proceeding_from_its_next_firing_on_and_f_runs_on() -> None:
    machine = NonInviteClient(OPTIONS, reliable=False)
    machine.start(START)
    assert play(machine, until=0.5) == [(0.5, ["send OPTIONS"])]
    machine.receive(answer(100, OPTIONS), START + 1)
    times = [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert play(machine) == [
        *((time, ["send OPTIONS"]) for time in times),
        (32.0, ["timed out", "terminated"]),
    ]


def test_timer_g_doubles_up_to_t2_and_timer_h_gives_up_after_64_t1() -> None:
    machine = InviteServer(INVITE, reliable=False)
    machine.start(START - 5)
    assert kinds(machine.respond(answer(486, INVITE), START)) == ["send 486"]
    times = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert play(machine) == [
        *((time, ["send 486"]) for time in times),
        (32.0, ["timed out", "terminated"]),
    ]


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize(
    ("make", "state", "unreliably", "reliably"),
    [
        pytest.param(invite_client, "Completed", 32.0, 0.0, id="D"),
        pytest.param(invite_client, "Accepted", 32.0, 32.0, id="M"),
        pytest.param(non_invite_client, "Completed", 5.0, 0.0, id="K"),
        pytest.param(invite_server, "Confirmed", 5.0, 0.0, id="I"),
        pytest.param(invite_server, "Accepted", 32.0, 32.0, id="L"),
        pytest.param(non_invite_server, "Completed", 32.0, 0.0, id="J"),
    ],
)
def test_how_long_a_finished_transaction_waits(
    make: Callable[[str, bool], Transaction],
    state: str,
    unreliably: float,
    reliably: float,
    reliable: bool,
) -> None:
    machine = make(state, reliable)
    wait = reliably if reliable else unreliably
    if wait == 0:
        assert machine.state.value == "Terminated"
        assert machine.deadline is None
    else:
        assert machine.state.value == state
        assert play(machine) == [(wait, ["terminated"])]
        assert machine.state.value == "Terminated"


def test_a_wait_of_zero_ends_within_the_same_call() -> None:
    client = non_invite_client("Trying", reliable=True)
    assert kinds(client.receive(answer(200, OPTIONS), START)) == ["up 200", "terminated"]
    client2 = invite_client("Calling", reliable=True)
    received = kinds(client2.receive(answer(486, INVITE), START))
    assert received == ["send ACK", "up 486", "terminated"]
    server = non_invite_server("Trying", reliable=True)
    assert kinds(server.respond(answer(200, OPTIONS), START)) == ["send 200", "terminated"]
    server2 = invite_server("Completed", reliable=True)
    ack = make_ack(INVITE, answer(486, INVITE))
    assert kinds(server2.receive(ack, START)) == ["terminated"]


def test_over_a_reliable_transport_nothing_is_retransmitted_but_giving_up_stays() -> None:
    assert play(invite_client("Calling", reliable=True)) == [(32.0, ["timed out", "terminated"])]
    assert play(non_invite_client("Trying", reliable=True)) == [(32.0, ["timed out", "terminated"])]
    assert play(invite_server("Completed", reliable=True)) == [(32.0, ["timed out", "terminated"])]


def test_a_ringing_invite_has_no_timer_at_all() -> None:
    assert invite_client("Proceeding").deadline is None


def test_timers_follow_t1_t2_and_t4() -> None:
    slow = Timers(t1=1.0, t2=2.0, t4=3.0)
    machine = NonInviteClient(OPTIONS, False, slow)
    machine.start(START)
    assert [time for time, _ in play(machine)][:4] == [1.0, 3.0, 5.0, 7.0]
    assert machine.timers.transaction == 64.0
    assert slow.d == 64.0
    # The RFC allows no less than 32 s, however short T1 is: the server counts by its own.
    assert Timers(t1=0.1).d == 32.0


def test_an_early_tick_does_nothing_and_a_late_one_sends_once() -> None:
    machine = invite_client("Calling")
    assert machine.tick(START + 0.49) == []
    assert kinds(machine.tick(START + 20)) == ["send INVITE"]
    assert machine.deadline == START + 21


def test_when_giving_up_and_retransmitting_are_both_overdue_nothing_is_sent() -> None:
    for machine in (
        invite_client("Calling"),
        non_invite_client("Trying"),
        invite_server("Completed"),
    ):
        assert kinds(machine.tick(START + 500)) == ["timed out", "terminated"]


def test_nothing_happens_after_the_end() -> None:
    client = invite_client("Calling")
    client.tick(START + 33)
    assert [client_event(client, event, START + 34) for event in CLIENT_EVENTS] == [[]] * 9
    server = invite_server("Completed")
    server.tick(START + 33)
    assert [server_event(server, event, START + 34) for event in SERVER_EVENTS] == [[]] * 9
    for machine in (client, server):
        assert machine.tick(START + 999) == []
        assert machine.deadline is None


# -- INVITE client: ACK and RFC 6026 -------------------------------------------------------------


def test_ack_of_a_refusal_has_the_branch_route_and_credentials_of_its_invite() -> None:
    extra = [
        ("Route", "<sip:p1.example.net;lr>"),
        ("Route", "<sip:p2.example.net;lr>, <sip:p3.example.net;lr>"),
        ("Proxy-Authorization", 'Digest username="alice"'),
        ("Contact", "<sip:alice@192.0.2.1>"),
        ("Require", "100rel"),
    ]
    invite = make_request(extra=extra)
    refusal = answer(486, invite, tag="busy")
    machine = InviteClient(invite, reliable=False)
    machine.start(START)
    transmit = machine.receive(refusal, START)[0]
    assert isinstance(transmit, Transmit)
    ack = transmit.message
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    assert ack.request_uri == invite.request_uri
    assert len(ack.get_all("Via")) == 1
    assert ack.via.branch == BRANCH
    assert (ack.via.host, ack.via.port) == ("192.0.2.1", 5060)
    assert ack.get_all("Route") == invite.get_all("Route")
    assert ack.get("From") == invite.get("From")
    assert ack.to.tag == "busy"
    assert ack.call_id == invite.call_id
    assert (ack.cseq.number, ack.cseq.method) == (7, "ACK")
    assert ack.get("Proxy-Authorization") == 'Digest username="alice"'
    assert ack.get("Contact") is None
    assert ack.get("Require") is None
    assert ack.body == b""


def test_each_copy_of_a_refusal_is_acknowledged_but_told_once() -> None:
    machine = invite_client("Calling")
    refusal = answer(486, INVITE)
    assert kinds(machine.receive(refusal, START + 1)) == ["send ACK", "up 486"]
    assert kinds(machine.receive(refusal, START + 1.5)) == ["send ACK"]
    assert kinds(machine.receive(refusal, START + 2.5)) == ["send ACK"]
    # Timer D counts from the first.
    assert machine.deadline == START + 33


def test_each_2xx_reaches_the_tu_for_64_t1_also_from_another_fork() -> None:
    machine = invite_client("Calling")
    assert kinds(machine.receive(answer(200, INVITE, "one"), START + 3)) == ["up 200"]
    assert kinds(machine.receive(answer(200, INVITE, "one"), START + 3.5)) == ["up 200"]
    assert kinds(machine.receive(answer(200, INVITE, "two"), START + 34)) == ["up 200"]
    assert machine.deadline == START + 35
    assert kinds(machine.tick(START + 35)) == ["terminated"]


def test_an_answered_invite_is_no_longer_retransmitted() -> None:
    for state in ("Proceeding", "Completed", "Accepted"):
        assert not [kind for _, kind in play(invite_client(state)) if "send INVITE" in kind]


# -- INVITE server -------------------------------------------------------------------------------


def test_the_invite_goes_up_and_100_leaves_after_200_ms_of_silence() -> None:
    machine = InviteServer(INVITE, reliable=False)
    assert kinds(machine.start(START)) == ["up INVITE"]
    assert server_event(machine, "request", START + 0.1) == []
    assert play(machine) == [(0.2, ["send 100"])]
    assert server_event(machine, "request", START + 0.5) == ["send 100"]
    assert machine.deadline is None


def test_no_100_where_the_tu_spoke_within_200_ms() -> None:
    machine = InviteServer(INVITE, reliable=False)
    machine.start(START)
    server_event(machine, "180", START + 0.1)
    assert machine.deadline is None
    assert server_event(machine, "request", START + 0.5) == ["send 180"]


def test_copies_of_the_invite_get_the_response_sent_last() -> None:
    machine = invite_server("Proceeding")
    server_event(machine, "180")
    server_event(machine, "183", START + 1)
    assert server_event(machine, "request", START + 2) == ["send 183"]
    server_event(machine, "486", START + 3)
    assert server_event(machine, "request", START + 3.2) == ["send 486"]
    assert machine.last_response is not None and machine.last_response.status == 486


def test_ack_of_a_refusal_stops_its_retransmission_and_is_absorbed_with_its_copies() -> None:
    machine = invite_server("Completed")
    assert server_event(machine, "ACK", START + 1) == []
    assert server_event(machine, "ACK", START + 2) == []
    assert play(machine) == [(6.0, ["terminated"])]


def test_an_accepted_invite_absorbs_copies_lets_the_tu_repeat_its_2xx_and_passes_acks_up() -> None:
    machine = invite_server("Accepted")
    assert server_event(machine, "request", START + 1) == []
    assert server_event(machine, "200", START + 1) == ["send 200"]
    assert server_event(machine, "ACK", START + 2) == ["up ACK"]
    # RFC 6026 §7.1: it stays for L after the ACK too, so that a late INVITE is not a new call.
    assert server_event(machine, "request", START + 3) == []
    assert play(machine) == [(32.0, ["terminated"])]


def test_the_machine_survives_a_transport_error_and_sends_again() -> None:
    machine = invite_server("Completed")
    assert kinds(machine.transport_failed(START)) == ["transport failed"]
    assert play(machine, until=0.5) == [(0.5, ["send 486"])]


def test_a_request_without_any_answer_yet_is_absorbed_in_trying() -> None:
    assert server_event(non_invite_server("Trying"), "request") == []
    assert non_invite_server("Trying").deadline is None


# -- whose message is it? ------------------------------------------------------------------------


def test_a_response_finds_its_client_by_branch_and_cseq_method() -> None:
    machine = InviteClient(INVITE, reliable=False)
    assert client_key(answer(200, INVITE)) == machine.key
    cancel = make_request("CANCEL")
    assert client_key(answer(200, cancel)) == client_key(cancel) != machine.key
    assert client_key(answer(200, make_request(branch="z9hG4bKother"))) != machine.key


def test_a_copy_and_the_ack_find_their_server_but_the_ack_of_a_2xx_does_not() -> None:
    machine = InviteServer(INVITE, reliable=False)
    assert server_key(make_request()) == machine.key
    assert server_key(make_ack(INVITE, answer(486, INVITE))) == machine.key
    assert server_key(make_request("ACK", branch="z9hG4bKnew")) != machine.key


def test_a_cancel_is_a_transaction_of_its_own_and_finds_its_invite() -> None:
    cancel = make_request("CANCEL")
    assert server_key(cancel) != server_key(INVITE)
    assert cancelled_key(cancel) == server_key(INVITE)


def test_the_same_branch_from_another_sender_is_another_transaction() -> None:
    assert server_key(make_request(sent_by="192.0.2.2:5060")) != server_key(INVITE)
    assert server_key(make_request(sent_by="192.0.2.1:5062")) != server_key(INVITE)
    assert server_key(make_request(sent_by="192.0.2.1")) == server_key(INVITE)


def test_branch_and_host_ignore_case() -> None:
    one = make_request(branch="Z9HG4BK776ASDHDS", sent_by="PHONE.example.net")
    assert server_key(one) == server_key(make_request(sent_by="phone.example.net:5060"))


@pytest.mark.parametrize("branch", ["1", "776asdhds", "z9hG4bK"])
def test_without_a_branch_of_rfc_3261_the_fields_of_rfc_2543_are_compared(branch: str) -> None:
    invite = make_request(branch=branch)
    assert server_key(make_request(branch=branch)) == server_key(invite)
    ack = make_request("ACK", branch=branch, to="<sip:bob@example.net>;tag=ours")
    assert server_key(ack) == server_key(invite)
    assert server_key(make_request(branch=branch, cseq=8)) != server_key(invite)
    cancel = make_request("CANCEL", branch=branch)
    assert server_key(cancel) != server_key(invite) == cancelled_key(cancel)
