"""Capture: a Python program becomes an IR graph, from its source (`script`) or from a run (`trace`).

Enters: a function or a module's forward, and example inputs (for their Python types only).
Leaves: `Captured`: the generic graph, the capture guards it relies on, and events for what stays Python.
Invariant: the graph means what the Python function means for every input that passes the guards.
"""
