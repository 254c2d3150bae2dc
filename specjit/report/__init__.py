"""Views of what happened: explanations and logs.

Enters: recorded facts (events, variants, counters). Leaves: text, dicts, HTML. Invariant: never re-traces, re-runs or
measures.
"""
