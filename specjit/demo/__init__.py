"""`specjit demo`: a character-level LSTM in plain Python learns English, optimized while it runs.

Enters: a number of training steps and a seed. Leaves: text on the console; `DemoError` if something failed to happen.
Invariant: it uses the public interface alone; every number and event it prints was measured or recorded in this run.
"""

from specjit.demo.run import DemoError, run

__all__ = ["DemoError", "run"]
