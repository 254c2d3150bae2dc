"""Running programs: dispatch, background compilation, native regions, events.

Enters: the user's model and its calls. Leaves: the model's own results.
Invariant: a call never waits for a compiler (unless `background=False`), never sees a half-published variant, and
whatever goes wrong on the fast road is answered by the generic path or the original function, with an event.
"""
