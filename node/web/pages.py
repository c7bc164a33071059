"""The pages as the server hands them out: files of this folder, read once, with headers that let nothing else in.

They hold no data and no secret, so everybody may have them. What they show comes from the REST interface, under the
session of whoever opened a one-time link.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

__all__ = ["PAGES_CSP", "page_routes"]

# Nothing from elsewhere, nothing inline, nothing evaluated: a name with a script in it stays text whatever we forget.
# Pictures of devices are data URLs, which the browser takes as pictures only.
PAGES_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": PAGES_CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_INDEX: Final = "index.html"


def page_routes() -> list[web.RouteDef]:
    """`/` and `/pages/<file>`."""
    known = {each.name: each.read_bytes() for each in (files("node.web") / "static").iterdir() if each.is_file()}
    tags = {name: f'"{sha256(body).hexdigest()[:32]}"' for name, body in known.items()}

    def answer(request: web.Request, name: str) -> web.Response:
        headers = {**_HEADERS, hdrs.ETAG: tags[name]}
        if request.headers.get(hdrs.IF_NONE_MATCH) == tags[name]:
            return web.Response(status=304, headers=headers)
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=known[name], content_type=kind, charset="utf-8", headers=headers)

    async def index(request: web.Request) -> web.StreamResponse:
        return answer(request, _INDEX)

    async def file(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in known:
            raise web.HTTPNotFound
        return answer(request, name)

    return [web.get("/", index), web.get("/pages/{name}", file)]
