"""The second names that PyTorch gives to functions.

Enters: a table. Leaves: public functions, methods and in-place variants that are those of the first name.
"""

from __future__ import annotations

from specjit.ops.records.registry import alias

ALIASES = """
absolute=abs negative=neg multiply=mul subtract=sub true_divide=divide clip=clamp fix=trunc
greater=gt greater_equal=ge less=lt less_equal=le not_equal=ne
arcsin=asin arccos=acos arctan=atan arcsinh=asinh arccosh=acosh arctanh=atanh arctan2=atan2
concat=cat concatenate=cat
"""
for _pair in ALIASES.split():
    alias(*_pair.split("="))
