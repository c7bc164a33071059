"""What the command line does without a running node: one module per command, handed to it by `node.app.main`."""
