"""The intermediate representation: typed SSA with structured control flow.

Enters: op records by their interface (name, params, infer, traits). Leaves: graphs, their text, and the verifier's
verdict.
Invariant: imports only `specjit.dtypes`; every class here is data, every algorithm on it lives in a pass.
"""
