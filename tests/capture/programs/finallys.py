"""`finally` blocks with ways out of their own: what they drop, and what goes on."""

from __future__ import annotations

from tests.capture.programs.table import prog


@prog((1,), (0,))
def finally_returns(n):
    try:
        n = 1 // n
    finally:
        return n


@prog((1,), (0,), (2,), (3,), (9,), ("a",))
def finally_goes_on_or_breaks(n):
    out = []
    for i in range(4):
        try:
            out.append(10 // (i - n))
            if i == 3:
                return out, "body"
        except TypeError:
            out.append("t")
        else:
            out.append("else")
        finally:
            out.append(i)
            if i == 1:
                continue
            if i == 2:
                break
    else:
        out.append("loopelse")
    return out


@prog((0,), (1,), (2,), (3,))
def finally_returns_sometimes(k):
    try:
        if k == 0:
            return "body"
        if k == 1:
            raise ValueError("x")
        if k == 2:
            raise KeyError("y")
    except ValueError:
        return "handler"
    finally:
        print("fin", k)
        if k in (0, 2):
            return "finally"
    return "end"


@prog((0,), (1,), (5,))
def finally_leaves_an_endless_loop(k):
    while True:
        try:
            if k == 0:
                return 1
            raise ValueError
        finally:
            k += 1
            if k > 1:
                break
    return k


@prog((0,), (1,), (2,), (5,))
def finally_always_goes_on(k):
    x = 1
    for i in range(3):
        try:
            x = i * 10
            1 // (i - k)
            x += 1
        finally:
            continue
    return x


@prog((0,), (1,), (3,), (4,))
def finally_inside_try_inside_finally(k):
    try:
        try:
            1 // k
        finally:
            if k == 3:
                return "inner"
    except ZeroDivisionError:
        return "caught"
    finally:
        if k == 4:
            return "outer"
    return "end"


@prog((0,), (1,))
def finally_with_a_try_of_its_own(k):
    try:
        return k // 0
    finally:
        try:
            return 5 // k
        except ZeroDivisionError as e:
            y = str(e)
    return "never", y


@prog((0,), (1,), (2,), (3,))
def finally_raises_again(k):
    try:
        raise ValueError("a")
    finally:
        if k == 0:
            raise
        if k == 1:
            raise KeyError("b")
        if k == 2:
            return 2
