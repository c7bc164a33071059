"""The MQTT broker inside a node, and files for one beside it: see README.md beside this file."""
