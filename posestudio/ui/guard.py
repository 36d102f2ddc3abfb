"""What stands before every request: loopback hosts only, no other site's scripts, careful headers.

Pure ASGI, so that Gradio's event streams pass untouched.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What Sec-Fetch-Site says of a request that another site, or another port, has made the browser send."""

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'self'"
)
"""Content security policy. Gradio needs inline and evaluated scripts of its own; no other host is ever allowed."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuse requests for other hosts (DNS rebinding) and from other sites (forged requests)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        why = refusal(
            headers.get("host", ""),
            headers.get("origin"),
            headers.get("sec-fetch-site"),
            scope.get("method"),
            headers.get("sec-fetch-mode"),
        )
        if why is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse(why, status_code=403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def refusal(
    host: str,
    origin: str | None,
    site: str | None,
    method: str | None,
    mode: str | None = None,
) -> str | None:
    """Why a request is not answered, or None.

    Another site may link to a page, and neither show nor read anything. What sends no Sec-Fetch headers is no browser.

    Args:
        host: the Host header.
        origin: the Origin header; browsers send it with every request that changes something.
        site: the Sec-Fetch-Site header; "same-site" is another port of this machine.
        method: GET, POST, ...; None for a websocket.
        mode: the Sec-Fetch-Mode header; "navigate" when somebody follows a link.
    """
    if _name(f"//{host}") not in LOOPBACK:
        return "This studio answers on this machine only, at 127.0.0.1 or localhost."
    if origin is not None and urlsplit(origin).netloc != host:
        return "Another site may not use this studio."
    link = mode == "navigate" and method in ("GET", "HEAD")
    if origin is None and site in ELSEWHERE and not link:
        return "Another site may not use this studio."
    return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
