"""Reverse-mode differentiation: a graph -> its forward graph with saved values, and its backward graph.

`derivative` is the way in; `reverse`, `loops` and `gradients` write the backward graph; `keep` and `cost` choose what
is saved; `when` says for which calls a gradient is None, `watch` what users are told; `higher` derives derivatives.
"""
