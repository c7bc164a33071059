"""`python -m node.app` is `wattpact`."""

from node.app.main import main

main()
