"""A household and its DSMR 5 meter, as an own process behind a pseudo-terminal. See the README beside this file."""
