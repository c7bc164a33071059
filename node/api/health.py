"""`/livez`, `/readyz` and `/metrics`: for machines that watch the node. They show no ids and cost almost nothing."""

from __future__ import annotations

import json

from aiohttp import web

from node.api.callers import Callers
from node.api.facade import HealthFacade
from node.api.tokens import Tokens
from node.errors import NodeError
from node.observability import METRICS_CONTENT_TYPE, Metrics

__all__ = ["health_routes"]


def health_routes(facade: HealthFacade, tokens: Tokens, metrics: Metrics, callers: Callers) -> list[web.RouteDef]:
    async def live(_request: web.Request) -> web.StreamResponse:
        """The process answers; nothing else is claimed."""
        return _json({"status": "alive"}, 200)

    async def ready(_request: web.Request) -> web.StreamResponse:
        """Names of the checks only; details need a token (/api/v1/readiness). A check that breaks means not ready."""
        try:
            found = await facade.readiness()
        except NodeError as error:
            return _json({"status": "not ready", "checks": {error.code: False}}, 503)
        checks = {check.name: check.ok for check in found.checks}
        return _json({"status": "ready" if found.ready else "not ready", "checks": checks}, 200 if found.ready else 503)

    async def measure(request: web.Request) -> web.StreamResponse:
        address = callers.address(request)
        if address is None or not address.is_loopback:
            await tokens.check(request.headers.get("Authorization"), "read")
        return web.Response(body=metrics.render(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    return [web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", measure)]


def _json(content: dict[str, object], status: int) -> web.Response:
    return web.Response(body=json.dumps(content).encode(), status=status, content_type="application/json")
