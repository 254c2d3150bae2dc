"""Small programs in the style of users, each with the arguments of several runs: a file per theme, the themes by the
items of what capture promises.

Enters: nothing. Leaves: `PROGRAMS`, in the order of the themes. Importing the themes fills it.
"""

from tests.capture.programs import (
    annotated,
    arithmetic,
    assignments,
    branches,
    builtin_functions,
    calls,
    classes,
    collections,
    comprehensions,
    conditions,
    containers,
    dispatch,
    displays,
    effects,
    finallys,
    formatting,
    functions,
    generators,
    handlers,
    hiding,
    iterables,
    loops,
    managers,
    modules,
    mutation,
    odd,
    outside,
    patterns,
    records,
    scalars,
    slices,
    strings,
    yields,
)
from tests.capture.programs.table import PROGRAMS

THEMES = {
    "statements": (branches, loops, iterables, assignments, effects, handlers, finallys, managers, patterns),
    "expressions": (
        *(scalars, arithmetic, conditions, comprehensions, generators, displays, slices, formatting, strings),
        *(containers, collections, builtin_functions),
    ),
    "types": (annotated, classes, hiding, records),
    "calls": (functions, calls, dispatch, outside, yields),
    "mutation and aliasing": (mutation, modules),
    "what cannot be compiled": (odd,),
}

__all__ = ["PROGRAMS", "THEMES"]
