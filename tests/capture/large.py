"""Modules of many lines, as text: many small functions that are called in turn, or one long function.

Enters: how many lines there shall be. Leaves: the source of a module whose `program(x, y, n)` reaches every line.
"""

from __future__ import annotations

HEAD = "import specjit\n\n"
FUNCTION = """
def step{k}(x, y, n):
    z = x * {factor} + y
    if n > 2:
        z = specjit.relu(z)
    elif n > 1:
        z = z - y
    else:
        z = z + 1
    for i in range(n):
        z = z + i
        total = z.sum() if i % 2 else z.mean()
        y = y + total.clamp(-1, 1)
    out = []
    for v in (x, y, z):
        out.append(v * 0.5)
    return out[0] + out[1], z.clamp(-1, 1), n + {step}

"""
PART = """\
    z{k} = x * {factor} + y
    if n > 2:
        y = specjit.relu(z{k})
    else:
        y = z{k} - y + n
    x = (x + y).clamp(-1, 1)
"""
CALL = "    x, y, n = step{k}(x, y, n)\n"
BEGIN, END = "\ndef program(x, y, n):\n", "    return x, y, n\n"


def _parts(template: str, count: int) -> str:
    return "".join(template.format(k=k, factor=k % 7 + 1, step=k % 3 - 1) for k in range(count))


def many_functions(lines: int) -> str:
    """A function for every 18 lines, each with branches and loops."""
    count = lines // (FUNCTION.count("\n") + 1)
    return HEAD + _parts(FUNCTION, count) + BEGIN + _parts(CALL, count) + END


def one_function(lines: int) -> str:
    """One function, with a branch and a variable of its own for every six lines."""
    return HEAD + BEGIN + _parts(PART, lines // PART.count("\n")) + END


SHAPES = {"many functions": many_functions, "one function": one_function}
