"""A store and forward log for channels over HTTP, beside the MQTT broker and with the same users."""
