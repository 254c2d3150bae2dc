"""What names a piece of syntax reads and writes, and which names are still needed after each statement.

Enters: the syntax tree of one function. Leaves: `assigned`, `read`, `exits` and `Liveness`.
Invariant: everything here errs on the side of "needed": a name reported dead is never read again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from specjit.capture.source import parameters

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Do(ast.stmt):
    """A statement that runs a Python function while lowering: the inside of a comprehension (its syntax: `parts`)."""

    _fields = ("parts",)
    parts: list[ast.AST]
    action: Callable[[], None]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Child nodes evaluated in the same scope; a nested function contributes its name, defaults and decorators only."""
    if isinstance(node, ast.Lambda):
        yield from (d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from (*node.decorator_list, *(d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None))
    elif isinstance(node, ast.ClassDef):
        yield from (*node.decorator_list, *node.bases)
    else:
        yield from ast.iter_child_nodes(node)


def assigned(nodes: Iterable[ast.AST] | ast.AST) -> set[str]:
    """Names that the statements may bind or delete in their own scope."""
    out: set[str] = set()

    def visit(node: ast.AST, inner: bool) -> None:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not inner:
            out.add(node.id)
        elif isinstance(node, ast.NamedExpr):
            out.add(node.target.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and not inner:
            out.update({node.name} if node.name else ())
        elif isinstance(node, ast.Import | ast.ImportFrom):
            out.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            out.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            out.add(node.rest)
        inner = inner or isinstance(node, _COMPREHENSIONS)
        for child in _children(node):
            visit(child, inner)

    for node in [nodes] if isinstance(nodes, ast.AST) else nodes:
        visit(node, False)
    return out


def read(nodes: Iterable[ast.AST] | ast.AST | None) -> set[str]:
    """Names that may be read, those that nested functions and comprehensions read from outside included."""
    if nodes is None:
        return set()
    out: set[str] = set()
    for node in [nodes] if isinstance(nodes, ast.AST) else nodes:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load | ast.Del):
                out.add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            out |= {node.target.id} | read(node.value)
        elif isinstance(node, _COMPREHENSIONS):
            targets = {n for g in node.generators for n in assigned(g.target)}
            out |= read(node.generators[0].iter) | (read(ast.iter_child_nodes(node)) - targets)
        elif isinstance(node, ast.Lambda | ast.FunctionDef):
            outside = [n for n in (*node.args.defaults, *node.args.kw_defaults) if n is not None]
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            out |= read(outside) | read(getattr(node, "decorator_list", ())) | (read(body) - local_names(node))
        else:
            out |= read(ast.iter_child_nodes(node))
    return out


def captured(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Names of `function` that its nested functions read: they may be read whenever those are called."""
    out: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, _SCOPES) and node is not function:
            out |= read(node)
    return out


def local_names(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Names that are local variables of `function`."""
    out = set(parameters(function))
    if isinstance(function, ast.FunctionDef):
        out |= assigned(function.body)
        out -= declared(function, ast.Global) | declared(function, ast.Nonlocal)
    else:
        out |= assigned(function.body)
    return out


def declared(function: ast.FunctionDef | ast.Lambda, kind: type[ast.Global] | type[ast.Nonlocal]) -> set[str]:
    """Names that `function` itself declares global or nonlocal."""
    out: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, kind):
            out.update(node.names)
        elif not isinstance(node, _SCOPES):
            for child in ast.iter_child_nodes(node):
                visit(child)

    for child in function.body if isinstance(function, ast.FunctionDef) else ():
        visit(child)
    return out


def rebound(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Variables of `function` that a function in it declares nonlocal."""
    inner = [n for n in ast.walk(function) if isinstance(n, ast.FunctionDef) and n is not function]
    return {name for n in inner for name in declared(n, ast.Nonlocal)} & local_names(function)


class Exits:
    """Which ways out of a statement list there are: `returns`, `breaks` and `continues` that leave it."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self.returns = self.breaks = self.continues = self.other = False
        for node in nodes:
            self._visit(node, False)

    def _visit(self, node: ast.AST, in_loop: bool) -> None:
        if isinstance(node, _SCOPES):
            return
        self.returns |= isinstance(node, ast.Return)
        self.breaks |= isinstance(node, ast.Break) and not in_loop
        self.continues |= isinstance(node, ast.Continue) and not in_loop
        self.other |= isinstance(node, ast.Yield | ast.YieldFrom | ast.Await)
        if isinstance(node, ast.For | ast.While):
            for child in (*node.body,):
                self._visit(child, True)
            for child in node.orelse:
                self._visit(child, in_loop)
            self._visit(node.iter if isinstance(node, ast.For) else node.test, in_loop)
            return
        for inner in ast.iter_child_nodes(node):
            self._visit(inner, in_loop)

    @property
    def any(self) -> bool:
        return self.returns or self.breaks or self.continues or self.other


class Liveness:
    """Names needed after each statement (`after`), at the head of each loop (`head`) and by the handlers of each `try`
    (`caught`)."""

    def __init__(self, function: ast.FunctionDef | ast.Lambda, body: list[ast.stmt]) -> None:
        self.always = captured(function)
        self.after: dict[ast.stmt, set[str]] = {}
        self.head: dict[ast.stmt, set[str]] = {}
        self.caught: dict[ast.stmt, set[str]] = {}
        self._list(body, set(), set(), set())

    def _list(self, body: list[ast.stmt], out: set[str], brk: set[str], cont: set[str]) -> set[str]:
        for stmt in reversed(body):
            # Where a branch leaves the list, its variables still meet those of the other branch right after the `if`.
            self.after[stmt] = out | brk | cont | self.always
            out = self._stmt(stmt, out, brk, cont)
        return out

    def _stmt(self, s: ast.stmt, out: set[str], brk: set[str], cont: set[str]) -> set[str]:
        if isinstance(s, ast.If):
            return read(s.test) | self._list(s.body, out, brk, cont) | self._list(s.orelse, out, brk, cont)
        if isinstance(s, ast.While | ast.For):
            return self._loop(s, out, brk, cont)
        if isinstance(s, ast.Break):
            return brk
        if isinstance(s, ast.Continue):
            return cont
        if isinstance(s, ast.Return | ast.Raise):
            return read(s)
        if isinstance(s, ast.With):
            # The manager may suppress an exception of the block: then what was before goes on.
            return read(s.items) | self._list(s.body, out, brk, cont) | out
        if isinstance(s, ast.Try):
            return self._try(s, out, brk, cont)
        if isinstance(s, ast.Match):
            bodies = [read(c.pattern) | read(c.guard) | self._list(c.body, out, brk, cont) for c in s.cases]
            return read(s.subject).union(out, *bodies)
        if isinstance(s, ast.FunctionDef):
            return (out - {s.name}) | read(s)
        if isinstance(s, ast.Assign | ast.AnnAssign):
            targets = s.targets if isinstance(s, ast.Assign) else [s.target] if s.value is not None else []
            return (out - {n for t in targets for n in _plain_targets(t)}) | read(s)
        return out | read(s)

    def _try(self, s: ast.Try, out: set[str], brk: set[str], cont: set[str]) -> set[str]:
        """Every way out of the blocks leads through `finally`, and from anywhere in the body to a handler."""
        if s.finalbody:
            out = brk = cont = self._list(s.finalbody, out | brk | cont, brk, cont)
        otherwise = self._list(s.orelse, out, brk, cont)
        handled = {n for h in s.handlers for n in read(h.type) | self._list(h.body, out, brk, cont) - {h.name or ""}}
        self.caught[s] = handled | self.always
        return self._list(s.body, otherwise, brk, cont) | handled | out

    def _loop(self, s: ast.While | ast.For, out: set[str], brk: set[str], cont: set[str]) -> set[str]:
        done = self._list(s.orelse, out, brk, cont)
        test = read(s.test) if isinstance(s, ast.While) else set()
        targets = _plain_targets(s.target) if isinstance(s, ast.For) else set()
        head = done | test | read(getattr(s, "target", None))
        exits = Exits(s.body)
        while True:
            inner = self._list(s.body, head, out if exits.breaks else set(), head if exits.continues else set())
            inner = (inner - targets) | head
            if inner == head:
                break
            head = inner
        self.head[s] = head | self.always
        return head | (read(s.iter) if isinstance(s, ast.For) else set())


def _plain_targets(target: ast.expr) -> set[str]:
    """Names that an assignment to `target` binds for certain."""
    if isinstance(target, ast.Name):
        return {target.id}
    if isinstance(target, ast.Tuple | ast.List):
        return {n for t in target.elts for n in _plain_targets(t)}
    if isinstance(target, ast.Starred):
        return _plain_targets(target.value)
    return set()
