"""The Python entry of a variant: unpack the arguments, check what Python must check, call the body, pack the results.

Enters: a `Specialized` and a body (a callable on the flat leaves that returns the graph's outputs, or MISS).
Leaves: source and function with the model's own parameter list. Invariant: nothing has an effect before the last
guard held, so a MISS costs nothing but time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from specjit.profile.signature import Structure
from specjit.runtime.binding import header
from specjit.runtime.history import MISS
from specjit.runtime.variant import Variant
from specjit.specialize.specialize import Specialized
from specjit.tensor import state
from specjit.tensor.tensor import Size


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"MISS": MISS, "Size": Size}
        self.leaves: list[str] = []

    def constant(self, value: Any, hint: str = "k") -> str:
        name = f"_{hint}{len(self.names)}"
        self.names[name] = value
        return name

    def miss_if(self, condition: str) -> None:
        self.lines.append(f"    if {condition}: return MISS")


def make_entry(
    variant: Variant,
    specialized: Specialized,
    captured: Any,
    root: Any,
    signature: inspect.Signature,
    body: Callable[..., Any],
    name: str,
) -> tuple[str, Callable[..., Any]]:
    """(source, function). `body(*leaf arguments)` takes argument leaves only; parameters are bound inside it."""
    w = _Writer()
    assume = variant.assume
    parameters = header(signature, lambda default: w.constant(default, "default"))
    w.names.update(_v=variant, _counts=variant.counts, _state=state, _thread=state.thread, _body=body)
    for param, s in zip(assume.signature.names, assume.signature.structures, strict=True):
        _unpack(w, s, param)
    for i, fact in enumerate(assume.signature.facts):
        value = assume.numbers.get(i)
        if value is not None:
            k = w.constant(value)
            leaf = w.leaves[i]
            same = f"{leaf} != {k}" if type(value) is int else f"({leaf} != {k} or repr({leaf}) != repr({k}))"
            w.miss_if(f"type({leaf}) is not {fact.cls.__name__} or {same}")
        elif i in specialized.bounds:
            w.miss_if(f"{w.leaves[i]} < {specialized.bounds[i]}")
    w.miss_if(f"_thread.grad is not {assume.signature.grad_mode}")
    given = ", ".join([*(["_root"] if root is not None else []), *assume.signature.names])
    w.names.update(_root=root, _globals=captured.checks.globals, _structure=captured.checks.structure)
    if captured.checks.has("globals"):
        w.miss_if(f"not _globals({given})")
    w.miss_if(f"_state.module_epoch != _v.module_epoch and not (_structure({given}) and _v.attributes_hold())")
    for attribute in specialized.attributes:
        if not attribute.moves_epoch:
            k, r, o = (
                w.constant(attribute.expected),
                w.constant(attribute, "read"),
                w.constant(attribute.owner, "owner"),
            )
            w.miss_if(f"getattr({o}, {attribute.name!r}, MISS) is not {k} and not {r}.holds()")
    for read in specialized.globals:
        k, r = w.constant(read.expected), w.constant(read, "read")
        if read.namespace is not None:
            g = w.constant(read.namespace, "globals")
            w.miss_if(f"{g}.get({read.name!r}) is not {k} and not {r}.holds()")
        else:
            w.miss_if(f"not {r}.holds()")
    arguments = [w.leaves[leaf.argument] for leaf in specialized.leaves if leaf.argument is not None]
    w.lines.append(f"    out = _body({', '.join(arguments)})")
    w.miss_if("out is MISS")
    w.lines.append("    _counts.calls += 1")
    w.lines.append(f"    return {_pack(w, specialized.result)}")
    safe = "".join(c if c.isalnum() else "_" for c in name)
    source = "\n".join([f"def {safe}({parameters}):", *w.lines, ""])
    exec(compile(source, f"<specjit {name} #{variant.number}>", "exec"), w.names)
    return source, w.names[safe]


def _unpack(w: _Writer, s: Structure, at: str) -> None:
    if s.kind in ("tensor", "int", "float"):
        w.leaves.append(at)
    elif s.kind == "const":
        k = w.constant(s.payload)
        if s.payload is None or isinstance(s.payload, bool) or s.payload is Ellipsis:
            w.miss_if(f"{at} is not {k}")
        else:
            w.miss_if(f"type({at}) is not type({k}) or {at} != {k}")
    elif s.kind == "object":
        w.miss_if(f"{at} is not {w.constant(s.payload.value, 'object')}")
    else:
        w.miss_if(f"type({at}) is not {s.kind} or len({at}) != {len(s.children)}")
        base = "".join(c if c.isalnum() else "_" for c in at).strip("_")
        names = [f"_{base}_{i}" for i in range(len(s.children))]
        if s.kind == "dict":
            w.miss_if(f"tuple({at}) != {w.constant(s.payload)}")
            w.lines.extend(f"    {n} = {at}[{w.constant(k)}]" for n, k in zip(names, s.payload, strict=True))
        elif names:
            w.lines.append(f"    {', '.join(names)}{',' if len(names) == 1 else ''} = {at}")
        for n, child in zip(names, s.children, strict=True):
            _unpack(w, child, n)


def _pack(w: _Writer, result: Any) -> str:
    kind = result[0]
    if kind == "leaf":
        return f"out[{result[1]}]"
    if kind == "const":
        value = result[1]
        return repr(value) if value is None or isinstance(value, (bool, int, str)) else w.constant(value)
    if kind == "dict":
        pairs = ", ".join(f"{w.constant(k)}: {_pack(w, v)}" for k, v in zip(result[1], result[2], strict=True))
        return f"{{{pairs}}}"
    if kind == "named":
        return f"{w.constant(result[1])}({', '.join(_pack(w, i) for i in result[2])})"
    items = ", ".join(_pack(w, i) for i in result[1])
    if kind == "list":
        return f"[{items}]"
    if kind == "Size":
        return f"Size([{items}])"
    return f"({items}{',' if len(result[1]) == 1 else ''})"
