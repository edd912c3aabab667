"""The nudge that ships is a message to a worker; nothing drains in the request that publishes."""

from audit import tasks, wake
from config import settings as shipped


def test_it_is_a_message(settings, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.drain_all, "apply_async", lambda **options: sent.append(options))
    settings.AUDIT = shipped.AUDIT
    monkeypatch.setattr(wake, "_nudges", wake.Throttle(seconds=0))
    wake.wake()
    assert sent == [{"retry": False, "ignore_result": True, "expires": 10}]
