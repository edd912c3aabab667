"""Filters for logs: one replaces what looks like a secret, the other keeps out what was answered in words already.

They know nothing of the application, so that the web server can use them before that is loaded.
"""

import logging
import re
import traceback

_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s\"'&,;]+)"
# What is kept of each is enough to know what was there; the first letters of a token are no secret.
_SECRETS = [
    (re.compile(pattern, re.IGNORECASE), kept)
    for pattern, kept in [
        (r"(?-i:(larder_[0-9A-Za-z]{5})[0-9A-Za-z]{6,})", r"\1…"),
        (r"\b(bearer|basic)(\s+|%20)[^\s\"',;]+", r"\1\2…"),
        (rf"\b(\w*(?:authToken|password)|_auth|npm-otp)\b([\"']?\s*[=:]\s*)(?!…){_VALUE}", r"\1\2…"),
        (r"(?<=://)([^\s/:@\"']*):[^\s/\"']+@", r"\1:…@"),
        (r"(/-/(?:user/token|v1/login|web/login)/)[^\s?\"']+", r"\1…"),
    ]
]


def redact(text: str) -> str:
    """`text` without tokens, credentials, and passwords in URLs."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text


class Redaction(logging.Filter):
    """Lets every record pass, redacted: its message with the arguments in it, and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact what a formatter would make of the record."""
        record.msg, record.args = redact(_message(record)), None
        if record.exc_info and record.exc_info[0] and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.exc_text:
            record.exc_text = redact(record.exc_text)  # formatters take it before they make one
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class Failures(logging.Filter):
    """Of what Django says of answers, lets pass only what nobody foresaw: a 503 has its words, and its own line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is of no answer, or of a 500."""
        return getattr(record, "status_code", 500) == 500


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError, AttributeError):  # half a line, rather than an error while logging
        return f"{record.msg} (its arguments do not fit)"
