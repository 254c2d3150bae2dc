"""Rows picked by run-time indices (embedding, index_select): rules of the scheduler for `special` ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder
    from specjit.ir.graph import Node

RULES: dict[str, Callable[[Builder, Node], Any]] = {}
