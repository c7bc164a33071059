"""`make demo`: the whole story with real processes, judged by evidence that no part of the product gave."""
