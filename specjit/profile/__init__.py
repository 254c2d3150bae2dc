"""What was observed: call signatures and the lattice they merge in.

Enters: the arguments of real calls. Leaves: a `Signature` per call (structure and leaf facts) and, merged, which
facts stayed the same, which varied, and which sizes were always equal. Invariant: observing never touches an argument.
"""
