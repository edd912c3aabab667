"""No secret is written to a log, whatever way it comes there."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from registry.redaction import Redaction, redact

TOKEN = "larder_4BcD5eF6gH7iJ8kL9mN0oP1qR2sT3uV4wX5yZ6"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"the token {TOKEN}, it says", "the token larder_4BcD5…, it says"),
        (f"DELETE /-/user/token/{TOKEN} 200", "DELETE /-/user/token/… 200"),
        ("DELETE /-/user/token/of-another-kind?x=1 200", "DELETE /-/user/token/…?x=1 200"),
        (f'"DELETE /-/npm/v1/tokens/token/{TOKEN} HTTP/1.1"', '"DELETE /-/npm/v1/tokens/token/larder_4BcD5… HTTP/1.1"'),
        ("GET /-/v1/login/done/se-cret_1 202", "GET /-/v1/login/… 202"),
        ("GET http://registry.test/-/web/login/secret", "GET http://registry.test/-/web/login/…"),
        ("Authorization: Bearer npm_abc.def-1", "Authorization: Bearer …"),
        ("{'Authorization': 'Bearer x', 'Accept': '*/*'}", "{'Authorization': 'Bearer …', 'Accept': '*/*'}"),
        ("authorization: basic YWxpY2U6cGFzcw==", "authorization: basic …"),
        ("//registry.test/:_authToken=abc-def", "//registry.test/:_authToken=…"),
        ("//registry.test/:_auth = YWxp", "//registry.test/:_auth = …"),
        ('_authToken="a b \\" c"', "_authToken=…"),
        ('{"name": "alice", "password": "a \\"b\\" c"}', '{"name": "alice", "password": …}'),
        ("{'password': 'p', 'name': 'alice'}", "{'password': …, 'name': 'alice'}"),
        ("LARDER_ADMIN_PASSWORD=x y", "LARDER_ADMIN_PASSWORD=… y"),
        ("npm-otp: 123456", "npm-otp: …"),
        ("postgres://larder:s3cret@db/larder", "postgres://larder:…@db/larder"),
        ("https://alice:p@ss@registry.test/x", "https://alice:…@registry.test/x"),
        ("redis://:s3cret@cache:6379/0", "redis://:…@cache:6379/0"),
    ],
)
def test_what_looks_like_a_secret_is_replaced(said, kept):
    assert redact(said) == kept
    assert redact(kept) == kept


@pytest.mark.parametrize(
    "said",
    [
        "GET /@acme/pad/-/pad-1.0.0.tgz 200",
        "http://registry.test:8000/left-pad and alice@acme.example",
        "larder_sqlite3 of LARDER_VAR, 100 % done",
        "larder_4BcD5… of alice was revoked",  # so much is shown in lists
        "GET /-/npm/v1/tokens/token/2f1f5b8e-0c7e-4a53-9a3e-0d3c0f6d6f11 204",
        "git+ssh://git@host/x.git",
    ],
)
def test_what_is_no_secret_is_kept(said):
    assert redact(said) == said


def test_a_long_line_takes_no_time():
    """The filter is asked for every line, and strangers write some of them: none may be tried over and over."""
    for part in ("a", "://", "a:", "password", "'", "Bearer ", "://a:", "larder_", "\\", '_auth="'):
        assert redact(part * 20_000)


def formatted(*arguments, **options) -> str:
    """What a handler with the filter would write."""
    record = logging.getLogger("test").makeRecord("test", logging.ERROR, __file__, 1, *arguments, **options)
    assert Redaction().filter(record)
    assert Redaction().filter(record)  # each handler asks again
    return logging.Formatter("%(levelname)s %(message)s").format(record)


@pytest.mark.parametrize("argument", [TOKEN, f"/-/user/token/{TOKEN}", {"token": TOKEN}, ValueError(TOKEN)], ids=repr)
def test_arguments_are_redacted(argument):
    line = formatted("%s of %s", (argument, "alice"), None)
    assert TOKEN not in line
    assert line.endswith("of alice")


def test_arguments_by_name_are_redacted():
    """gunicorn's access log is written so."""
    assert formatted("%(r)s %(s)s", ({"r": f"DELETE /-/user/token/{TOKEN}", "s": 200},), None) == (
        "ERROR DELETE /-/user/token/… 200"
    )


def test_a_secret_in_two_halves_is_redacted():
    assert TOKEN[20:] not in formatted("%s%s", (TOKEN[:20], TOKEN[20:]), None)


def test_tracebacks_are_redacted():
    try:
        try:
            {}[TOKEN]
        except KeyError as error:
            raise ValueError(f"Bearer {TOKEN}") from error
    except ValueError:
        text = formatted("it failed", (), sys.exc_info(), sinfo=f"Stack: {TOKEN}")
    assert TOKEN not in text
    assert "ValueError: Bearer …" in text
    assert "test_tracebacks_are_redacted" in text
    assert "Stack: larder_4BcD5…" in text


def test_what_does_not_fit_is_written_all_the_same():
    assert "its arguments do not fit" in formatted("%s of %s", (TOKEN,), None)
    assert formatted("100 % done", (), None) == "ERROR 100 % done"


def test_every_handler_redacts():
    assert settings.LOGGING["handlers"]
    for handler in settings.LOGGING["handlers"].values():
        assert "redaction" in handler["filters"]


def test_nothing_that_the_process_logs_has_a_secret():
    """Also what Django and the server log by themselves."""
    program = f"""
import logging
import django
django.setup()
for name in ("registry", "django", "django.server", "django.request", "celery", "py.warnings"):
    logging.getLogger(name).critical("%s said {TOKEN}", name, extra={{"server_time": "now"}})
try:
    raise ValueError("{TOKEN}")
except ValueError:
    logging.exception("it failed")
"""
    command = [sys.executable, "-c", program]
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    written = ran.stdout + ran.stderr
    assert TOKEN not in written.replace(f'"{TOKEN}"', "")
    assert written.count("said larder_4BcD5…") == 6
    assert "ValueError: larder_4BcD5…" in written


def test_the_servers_own_logs_are_redacted(capfd):
    from gunicorn.config import Config

    from config.gunicorn import RedactedLogger

    server = Config()
    server.set("accesslog", "-")
    logger = RedactedLogger(server)
    try:
        logger.access_log.info("%(r)s", {"r": f"DELETE /-/user/token/{TOKEN}"})
        logger.error("Error handling request /-/user/token/%s", TOKEN)
    finally:
        for log in (logger.access_log, logger.error_log):
            log.handlers.clear()
            log.propagate = True
    out, err = capfd.readouterr()
    assert "/-/user/token/…" in out
    assert "/-/user/token/…" in err
    assert TOKEN[12:] not in out + err
