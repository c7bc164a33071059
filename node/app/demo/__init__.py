"""`make demo`: the whole story with real processes, judged by evidence that no part of the product gave."""

from node.app.demo.run import run_demo

__all__ = ["run_demo"]
