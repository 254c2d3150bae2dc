"""`try` statements: what handlers see, what goes on, and the ways out of every block."""

# ruff: noqa: F841
from __future__ import annotations

from tests.capture.programs.table import prog


@prog((2,), (0,))
def returns_from_both(n):
    try:
        return 10 // n
    except ZeroDivisionError:
        return -1


@prog((2, 1), (0, 1), (3, 0), (1, 7))
def sees_what_was_bound(n, m):
    x = 1
    try:
        x = 2
        y = 10 // n
        x = 3
        z = y // m
        x = 4
    except ZeroDivisionError as error:
        return x, str(error)
    return x, y, z


@prog(([1, "a", None, 2],), ([],))
def several_clauses(items):
    out = []
    for item in items:
        try:
            out.append(item + 1)
            if item == 2:
                raise KeyError(item)
        except (ValueError, TypeError) as error:
            out.append(type(error).__name__)
        except KeyError as error:
            out.append(("key", error.args))
        else:
            out.append("fine")
        finally:
            out.append("end")
    return out


@prog((0,), (1,), (2,), (3,))
def goes_on(k):
    try:
        if k == 0:
            raise ValueError("zero")
        if k == 1:
            raise KeyError("one")
        1 // (k - 2)
    except ValueError:
        return "value"
    except KeyError as error:
        raise RuntimeError("again") from error
    return "none"


@prog((0,), (1,), (2,))
def raises_again(k):
    log = []
    try:
        try:
            if k:
                raise ValueError(k)
            log.append("body")
        except ValueError as error:
            log.append(error.args[0])
            if k == 2:
                raise
        finally:
            log.append("finally")
    except ValueError as error:
        log.append(("outer", str(error)))
    return log


@prog(([0, 1, 2, 3, 4],), ([],), ([3],))
def leaves_loops_from_within(xs):
    out = []
    for x in xs:
        try:
            if x == 1:
                continue
            if x == 3:
                break
            out.append(x)
        finally:
            out.append(-x)
    else:
        out.append("all")
    return out


@prog(([4, 0, 2],), ([1, 5],), ([],))
def loop_else_with_handlers(xs):
    total = 0
    i = 0
    while i < len(xs):
        try:
            total += 12 // xs[i]
        except ZeroDivisionError:
            total -= 100
            i += 1
            continue
        i += 1
        if total > 10:
            break
    else:
        return ("else", total)
    return ("break", total)


@prog((0,), (1,), (2,))
def returns_through_finally(k):
    log = []

    def inner():
        try:
            if k == 0:
                return "first"
            if k == 1:
                raise ValueError("one")
        except ValueError:
            return "handled"
        finally:
            log.append("last")
        return "end"

    return inner(), log


@prog((0,), (1,))
def name_is_gone_afterwards(n):
    error = "before"
    try:
        1 // n
    except ZeroDivisionError as error:
        pass
    return error


@prog((0,), (2,))
def unbound_afterwards(n):
    try:
        y = 1 // n
    except ZeroDivisionError:
        pass
    return y


@prog((0,), (1,))
def keeps_the_error(n):
    kept = None
    try:
        1 // n
    except ZeroDivisionError as error:
        kept = error
    return None if kept is None else (type(kept).__name__, kept.args)


@prog((0,), (1,), (2,))
def deletes_inside(k):
    x = 5
    try:
        del x
        if k:
            x = 10 // (k - 1)
    except ZeroDivisionError:
        x = "zero"
    return x


@prog(({"a": 1}, "a"), ({"a": 1}, "b"))
def default_by_exception(d, key):
    try:
        value = d[key]
    except KeyError:
        d[key] = value = 0
    return value, d


@prog((1,), (0,), (-1,))
def raising_in_a_handler(k):
    try:
        try:
            return 1 // k if k >= 0 else [][k]
        except ZeroDivisionError:
            raise ValueError("in the handler")
    except (ValueError, IndexError) as error:
        return type(error).__name__, type(error.__context__).__name__


@prog((0,), (1,))
def hides_the_context(k):
    try:
        1 // k
    except ZeroDivisionError:
        raise KeyError("hidden") from None
    return k


@prog((0,), (1,))
def catches_nothing_valid(k):
    try:
        return 1 // k
    except 3:
        return "never"


@prog((0,), (1,), (2,))
def bare_clause(k):
    try:
        if k == 2:
            raise KeyboardInterrupt
        return 1 // k
    except:  # noqa: E722
        return "caught"


@prog((3, 0), (3, 1), (3, 5))
def nested_in_loops(n, bad):
    seen = []
    last = None
    for i in range(n):
        for j in range(n):
            try:
                if i * j == bad:
                    raise LookupError(i, j)
                last = (i, j)
            except LookupError as error:
                seen.append(error.args)
                if i:
                    break
            else:
                seen.append(i + j)
    return seen, last


@prog((0,), (1,), (2,))
def only_finally(k):
    x = 0
    try:
        x = 1
        x = 10 // k
        y = x
    finally:
        x = x + 100
        print("x is", x)
    return x, y


@prog((0,), (1,), (3,))
def finally_in_a_handler(k):
    out = []
    try:
        out.append(6 // k)
    except ZeroDivisionError:
        try:
            out.append("a")
            raise ValueError("b")
        except ValueError as error:
            out.append(str(error))
        finally:
            out.append("c")
    else:
        try:
            out.append([1, 2][k])
        except IndexError:
            out.append("d")
    return out


@prog((2,), (0,))
def helper_raises(n):
    def divide(a, b):
        return a // b

    results = []
    for k in range(3):
        try:
            results.append(divide(k, n))
        except ZeroDivisionError as error:
            results.append(str(error))
    return results


@prog(("12",), ("x",), ("",))
def parses(text):
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None:
        return "not a number"
    return number + 1


@prog((0,), (1,))
def walrus_in_the_body(k):
    x = "old"
    try:
        z = (x := "new") + str(1 // k)
    except ZeroDivisionError:
        z = "failed"
    return x, z


@prog((0,), (1,))
def loop_variable_of_a_broken_loop(k):
    i = -1
    try:
        for i in range(5):
            if i == 3:
                1 // k
    except ZeroDivisionError:
        return "stopped", i
    return "done", i


@prog((0,), (1,))
def assertion_message(k):
    names = ["zero", "one"]
    try:
        assert k, f"k is {names[k]}"
    except AssertionError as error:
        return error.args
    return ()


@prog((0,), (1,), (2,))
def else_may_raise(k):
    try:
        x = 1
    except ValueError:
        return "not here"
    else:
        x = 10 // k
    finally:
        print("finally", k)
    return x


@prog((0,), (2,))
def starred_in_the_body(n):
    a, b = None, []
    try:
        a, *b = range(n)
    except ValueError as error:
        return str(error), a, b
    return a, b


@prog((0,), (1,))
def always_raises_something(k):
    try:
        if k:
            raise ValueError("v")
        raise TypeError("t")
    except TypeError:
        return "type"
