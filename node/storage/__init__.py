"""What the node remembers: journal, states, outbox, timers, headers. See the README beside this file."""
