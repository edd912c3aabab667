"""Each request has an id and an origin that the edges can read."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from audit.actors import Actor, RequestFacts
from audit.context import RequestContextMiddleware, current


def answer(**meta: str) -> tuple[RequestFacts, HttpResponse]:
    """Sends one request through; returns what the view saw, and the response."""
    seen = []

    def view(request):
        seen.append(current())
        return HttpResponse("ok")

    response = RequestContextMiddleware(view)(RequestFactory().get("/left-pad", **meta))
    return seen[0], response


def test_a_request_gets_an_id_and_the_client_is_told():
    facts, response = answer()
    other, _ = answer()
    assert facts.request_id
    assert response["X-Request-Id"] == facts.request_id
    assert other.request_id != facts.request_id


def test_a_sane_id_of_the_client_is_taken_over():
    facts, response = answer(HTTP_X_REQUEST_ID="ci-4711.a")
    assert facts.request_id == response["X-Request-Id"] == "ci-4711.a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "naïve", "a\nb", "<script>"])
def test_an_id_that_is_not_sane_is_replaced(given):
    facts, _ = answer(HTTP_X_REQUEST_ID=given)
    assert len(facts.request_id) == 32


@pytest.mark.parametrize(
    ("proxies", "forwarded", "origin"),
    [
        (0, "", "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        (2, "10.9.9.9, 203.0.113.9, 198.51.100.4", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "nonsense", "192.0.2.1"),
        (1, "203.0.113.9, ", "192.0.2.1"),
    ],
)
def test_the_origin_is_what_the_outermost_trusted_proxy_saw(proxies, forwarded, origin, settings):
    settings.AUDIT = {"TRUSTED_PROXIES": proxies}
    meta = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    facts, _ = answer(REMOTE_ADDR="192.0.2.1", **meta)
    assert facts.origin == origin


def test_a_unix_socket_is_no_origin():
    facts, _ = answer(REMOTE_ADDR="")
    assert facts.origin == ""


def test_the_context_ends_with_the_request_also_when_it_fails():
    def fail(request):
        raise ValueError("oops")

    answer()
    with pytest.raises(ValueError, match="oops"):
        RequestContextMiddleware(fail)(RequestFactory().get("/"))
    assert current() == RequestFacts()


def test_an_actor_is_seen_in_its_request_and_stays_who_it_is():
    alice = Actor.token("alice's ci", token_id=7, user_id=3)
    seen = alice.as_of(RequestFacts(request_id="req-1", origin="192.0.2.1"))
    assert (seen.origin, seen.request_id) == ("192.0.2.1", "req-1")
    assert (seen.name, seen.token_id, seen.user_id) == (alice.name, 7, 3)
    assert str(seen) == "token alice's ci"
    assert str(Actor.anonymous()) == "anonymous"
