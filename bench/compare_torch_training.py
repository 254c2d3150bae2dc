"""Optimizers, schedules and helpers around gradients against PyTorch's; part of `bench.compare_torch_nn`.

The same parameters and gradients go through both. Compared are parameters, saved states, text, and rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import specjit

RNG = np.random.default_rng(0)
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True, "alpha": 0.8, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"lr": 0.1, "maximize": True}),
]
# Each is made by (module of schedules, optimizer).
SCHEDULES: dict[str, Any] = {
    "StepLR": lambda m, o: m.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [2, 5, 5], 0.3),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.3, 4),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.2, 0.9, 6),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 7, 2.0),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 4, 0.001),
    "LambdaLR": lambda m, o: m.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 0.9**t]),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda t: 1 - 1 / (2 + t)),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 1.0, 20),
    "OneCycleLR linear": lambda m, o: m.OneCycleLR(o, [1.0, 0.3], 17, pct_start=0.4, anneal_strategy="linear"),
    "OneCycleLR three phases": lambda m, o: m.OneCycleLR(o, 1.0, epochs=5, steps_per_epoch=4, three_phase=True),
    "SequentialLR": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=3), m.CosineAnnealingLR(o, 5), m.StepLR(o, 2)], [4, 9]
    ),
    "SequentialLR of functions": lambda m, o: m.SequentialLR(
        o, [m.ExponentialLR(o, 0.5), m.LambdaLR(o, lambda t: 1 / (1 + t))], [3]
    ),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler([m.LinearLR(o), m.ExponentialLR(o, 0.9)]),
}


def training() -> Iterator[str]:
    yield from optimizers()
    yield from schedules()
    yield from plateaus()
    yield from clipping()


def flat(tensors: Any) -> np.ndarray:
    return np.concatenate([t.detach().numpy().reshape(-1).astype(np.float64) for t in tensors])


def optimizers() -> Iterator[str]:
    data, start = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 4))
    for name, options in OPTIMIZERS:
        for dtype in ("float64", "float32"):
            ends, saved, texts = [], [], []
            for library in (specjit, torch):
                kind = getattr(library, dtype)
                p = library.tensor(start).to(kind).requires_grad_()
                x = library.tensor(data).to(kind)
                o = getattr(library.optim, name)([p], **options)
                # Rounding grows with each step: a few in float32.
                for _ in range(10 if dtype == "float64" else 3):
                    o.zero_grad()
                    ((x @ p).tanh() ** 2).sum().backward()
                    o.step()
                ends.append(p.detach().numpy())
                saved.append(o.state_dict())
                texts.append(repr(o))
            label, tolerance = f"{name} {options} {dtype}", 1e-9 if dtype == "float64" else 2e-5
            if not np.allclose(*ends, rtol=tolerance, atol=tolerance):
                yield f"{label}: parameters differ by {abs(ends[0] - ends[1]).max()}"
            if texts[0] != texts[1]:
                yield f"{label}: prints {texts[0]} | torch {texts[1]}"
            yield from (f"{label}: {d}" for d in states(*saved, tolerance))


def states(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> Iterator[str]:
    if ours["param_groups"] != theirs["param_groups"]:
        yield f"groups {ours['param_groups']} | torch {theirs['param_groups']}"
    for number, held in theirs["state"].items():
        mine = ours["state"][number]
        if list(mine) != list(held):
            yield f"state {list(mine)} | torch {list(held)}"
            continue
        for key, value in held.items():
            if mine[key].dtype.name != str(value.dtype).removeprefix("torch."):
                yield f"dtype of {key}: {mine[key].dtype} | torch {value.dtype}"
            if not np.allclose(mine[key].numpy(), value.numpy(), rtol=tolerance, atol=tolerance):
                yield f"{key} differs"


def two_groups(library: Any) -> Any:
    groups = [{"params": [library.ones(1, requires_grad=True)], "lr": lr} for lr in (0.5, 0.02)]
    return library.optim.SGD(groups, momentum=0.5)


def schedules() -> Iterator[str]:
    for name, make in SCHEDULES.items():
        courses = []
        for library in (specjit, torch):
            o = two_groups(library)
            s = make(library.optim.lr_scheduler, o)
            course = []
            for _ in range(15):
                course.append([*s.get_last_lr(), *(g["lr"] for g in o.param_groups), o.param_groups[0]["momentum"]])
                o.step()
                s.step()
            courses.append(np.array(course))
        if not np.allclose(*courses, rtol=1e-10, atol=1e-14):
            yield f"{name}: {courses[0][:, 0]} | torch {courses[1][:, 0]}"


def plateaus() -> Iterator[str]:
    values = RNG.random(60) + np.linspace(1, 0, 60)
    for mode in ("min", "max"):
        for threshold_mode in ("rel", "abs"):
            courses = []
            for library in (specjit, torch):
                o = two_groups(library)
                s = library.optim.lr_scheduler.ReduceLROnPlateau(
                    o, mode, 0.5, 3, 0.05, threshold_mode, cooldown=2, min_lr=[0.1, 0.0]
                )
                course = []
                for v in values:
                    s.step(v)
                    course.append([*s.get_last_lr(), s.best, s.num_bad_epochs, s.cooldown_counter])
                courses.append(np.array(course))
            if not np.allclose(*courses):
                yield f"ReduceLROnPlateau {mode} {threshold_mode}: {courses}"


def clipping() -> Iterator[str]:
    grads = [RNG.normal(size=shape) for shape in ((3, 4), (5,), (1,))]
    for norm in (2.0, 1.0, float("inf"), 0.0, 3.5):
        for limit in (0.5, 100.0):
            found = []
            for library in (specjit, torch):
                ps = [library.tensor(g * 0).requires_grad_() for g in grads]
                for p, g in zip(ps, grads):
                    p.grad = library.tensor(g)
                total = library.nn.utils.clip_grad_norm_(ps, limit, norm)
                found.append(np.append(flat(p.grad for p in ps), total.item()))
            if not np.allclose(*found, rtol=1e-12):
                yield f"clip_grad_norm_ {norm} {limit}: {found}"
