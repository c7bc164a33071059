"""A long list comes page by page, the newest first."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import Field

from node.api.values import View

__all__ = ["Page"]

T = TypeVar("T")


class Page(View, Generic[T]):
    """A part of a list. `next`: pass it as `before` for what is older; null on the last page."""

    items: tuple[T, ...]
    next: int | None = Field(default=None, description="`before` of the next page; null on the last one")
