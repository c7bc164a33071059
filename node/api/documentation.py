"""The page that shows the API description, with Redoc served from this node. Nothing is fetched from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

__all__ = ["DOCUMENTATION_CSP", "documentation_page", "documentation_script"]

# Redoc draws with inline styles and searches in a worker made from a blob; scripts come from this node only. Its
# footer would load a logo from a foreign server: the policy keeps the browser from calling anyone.
DOCUMENTATION_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Wattpact node: REST interface</title>
<style>body { margin: 0; }</style>
</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<noscript>This page needs JavaScript. The description itself is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="redoc.standalone.js"></script>
</body>
</html>
"""


def documentation_page() -> bytes:
    """HTML, UTF-8."""
    return _PAGE.encode()


def documentation_script() -> bytes:
    """Redoc's standalone bundle, as published (its licence lies beside it)."""
    return (files("node.web") / "vendor" / "redoc.standalone.js").read_bytes()
