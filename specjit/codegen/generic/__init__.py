"""The generic path: a graph as readable Python, which runs what no native code fits.

Enters: graphs of any types, also unknown ones. Leaves: source text and the function it compiles to.
Invariant: the text does what the user's program does, statement by statement; tracebacks name the user's lines.
"""
