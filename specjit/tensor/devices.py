"""Devices: `cpu`, and `meta` whose tensors have a shape and a dtype but no data.

Invariant: a device equals its name, so `x.device == "cpu"` and IR types (which hold the name) need no conversion.
"""

from __future__ import annotations

NAMES = ("cpu", "meta")


class device:
    """Where a tensor's data lives. `device("cpu")`, `device("meta")`; an index (`"cpu:0"`) is accepted and dropped."""

    __slots__ = ("__weakref__", "type")
    index = None

    def __new__(cls, type: str | device) -> device:
        if isinstance(type, device):
            return type
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        name = type.partition(":")[0]
        if name not in NAMES:
            raise RuntimeError(f"Expected one of {', '.join(NAMES)} device type at start of device string: {type}")
        return _DEVICES.get(name) or super().__new__(cls)

    def __init__(self, type: str | device) -> None:
        self.type: str = type.type if isinstance(type, device) else type.partition(":")[0]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, device):
            return self.type == other.type
        return isinstance(other, str) and self.type == other.partition(":")[0]

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return device, (self.type,)


_DEVICES: dict[str, device] = {}
_DEVICES.update({name: device(name) for name in NAMES})

cpu = _DEVICES["cpu"]
meta = _DEVICES["meta"]
