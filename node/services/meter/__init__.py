"""Reading a P1 smart meter: bytes in, judged readings and derived streams out. See the README beside this file."""
