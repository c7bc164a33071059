"""The pages: plain HTML, style and modules, served beside the REST interface. See the README beside this file."""

from node.web.pages import PAGES_CSP, page_routes

__all__ = ["PAGES_CSP", "page_routes"]
