"""One file per step of the schema, applied in order by `node.storage.migrate`."""
