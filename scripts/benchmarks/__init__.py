"""What `make bench` measures: one module for each part, each with `measure() -> list[Row]`."""
