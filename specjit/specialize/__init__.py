"""From a generic graph and a profile to a typed graph under guards.

Enters: a captured graph and `profile.Assumptions`. Leaves: `Specialized` (typed functional graph, leaves, guards,
output structure), from which `runtime.entry` builds a variant's Python entry.
Invariant: the typed graph computes what the generic graph computes for every call that the guards let in; whatever
was read as a constant to build it is a guard.
"""
