"""Measure; write contracts/gas.json, or print."""

import sys

from scripts.measure_gas import OUT, as_json, measure

text = as_json(measure())
if "--print" in sys.argv[1:]:
    print(text, end="")
else:
    OUT.write_text(text)
