"""What the REST interface shows of this node and lets people do: one module per noun, composed in `node.py`."""

from node.app.facade.node import NodeFacadeOfApp

__all__ = ["NodeFacadeOfApp"]
