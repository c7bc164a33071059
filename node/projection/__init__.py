"""The pure core of the node: frozen state, events in, effects out. See the README beside this file."""
