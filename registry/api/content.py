"""What comes in and goes out: JSON whatever the headers say, bodies as streams, documents with their bytes as kept."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from django.conf import settings
from django.http import HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry import jsontext
from registry.errors import Invalid, TooLarge

_SMALL_BODY = 1 << 20


class Stream(Protocol):
    """A request's body."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class AlwaysJSON(BaseContentNegotiation):
    """Clients send every kind of `Accept`; none of them changes what an API answer is."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        """The one parser."""
        return cast(BaseParser, parsers[0])

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The one renderer."""
        renderer: BaseRenderer = renderers[0]
        return renderer, "application/json; charset=utf-8"


class AnyJSONParser(BaseParser):
    """Small JSON bodies of any content type; npm sends bare strings too (`dist-tag add`)."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The decoded body; None when it is empty. Raises `Invalid` or `TooLarge`."""
        text = stream.read(_SMALL_BODY + 1)
        if len(text) > _SMALL_BODY:
            raise TooLarge(f"this request may have a body of {_SMALL_BODY >> 20} MiB at most")
        try:
            return jsontext.decode(text) if text else None
        except ValueError as error:
            raise Invalid(f"the body is not JSON: {error}") from error


def body_stream(request: Request) -> Stream:
    """The body as it arrives; Django's own stream ends at once when the client sends it in chunks."""
    environ, stream = request.META, request._request  # noqa: SLF001 (DRF would parse it)
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked" and environ.get("wsgi.input_terminated"):
        stream._stream = environ["wsgi.input"]  # noqa: SLF001 (it ends by itself; and what fails fails as usual)
    return cast(Stream, stream)


def base_url(request: Request) -> str:
    """The registry's URL for this reader, without a slash at its end."""
    return settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"


def private(data: Any, *, status: int = 200) -> Response:
    """A response that is for nobody but who asked: no cache keeps it."""
    return Response(data, status=status, headers={"Cache-Control": "private, no-store"})


def json_text(text: str, *, content_type: str) -> HttpResponse:
    """A response of JSON that is text already."""
    return HttpResponse(text.encode(), content_type=content_type)
