"""The reader's side of a consent: asking, checking the answer, opening what was granted."""
