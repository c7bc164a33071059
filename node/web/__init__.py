"""Pages and the vendored files they use; licences lie beside them in `vendor`."""
