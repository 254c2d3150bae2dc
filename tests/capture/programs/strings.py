"""String methods and operators."""

# ruff: noqa: UP031
from __future__ import annotations

from tests.capture.programs.table import prog


@prog(("Hello World",), ("",), ("straße ÄÖ",))
def cases_of_letters(s):
    return s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), s.casefold()


@prog(("  a b ",), ("xxaxx",), ("",))
def strips(s):
    return s.strip(), s.lstrip(), s.rstrip(), s.strip("x"), s.removeprefix("xx"), s.removesuffix("xx")


@prog(("a,b,,c",), ("",), ("a b  c",), ("k=v=w",))
def splits(s):
    return (
        s.split(","),
        s.split(),
        s.split(",", 1),
        s.rsplit(",", 1),
        s.partition("="),
        s.rpartition("="),
        s.split(sep="="),
    )


@prog(("a\nb\r\nc",), ("",), ("\n",))
def lines(s):
    return s.splitlines(), s.splitlines(True), s.split("\n"), s.expandtabs(4)


@prog(("banana", "an"), ("banana", "x"), ("", ""))
def searches(s, t):
    return (
        s.find(t),
        s.rfind(t),
        s.count(t),
        s.startswith(t),
        s.endswith(t),
        t in s,
        s.replace(t, "-"),
        s.replace(t, "", 1),
    )


@prog(("banana", "n"), ("banana", "x"))
def index_of_text(s, t):
    return s.index(t), s.rindex(t)


@prog(("abc",), ("12",), ("a1",), (" \t",), ("",), ("ABC",), ("_x",), ("Ab Cd",))
def kinds_of_text(s):
    return (
        [s.isalpha(), s.isdigit(), s.isalnum(), s.isspace(), s.isnumeric(), s.isdecimal()],
        [s.isupper(), s.islower(), s.istitle(), s.isidentifier(), s.isascii(), s.isprintable()],
    )


@prog(("ab", 7), ("", 3), ("toolong", 3))
def pads(s, n):
    return s.center(n), s.ljust(n), s.rjust(n), s.zfill(n), s.center(n, "*"), s.ljust(n, "."), "-7".zfill(n)


@prog((["a", "b"],), ([],), (["x"],))
def joins(xs):
    return ", ".join(xs), "".join(xs), "-".join(x * 2 for x in xs), "|".join(sorted(xs, reverse=True)), ",".join("abc")


@prog((["a", 1],))
def joins_what_is_no_text(xs):
    return ",".join(xs)


@prog(("a",), ("é",), ("ab",))
def codes(c):
    return ord(c), chr(ord(c) + 1)


@prog(("abc", 2), ("", 5), ("x", 0), ("x", -1))
def repeats(s, n):
    t = s * n
    t += s
    return t, n * s, s + t, len(t), t == s, t > s


@prog(("a", 1))
def adds_a_number_to_text(s, n):
    return s + n


@prog(("a\tb\\",), ("'q'",), ('"',), ("\x00é",))
def representations(s):
    return repr(s), str(s), ascii(s), f"{s!r}", f"{s!a:>12}", "%r" % s, [s]


@prog(("abc",), ("",))
def text_as_a_sequence(s):
    return list(s), tuple(s), set(s) == set(s[::-1]), sorted(s), [c for c in s], len(s), max(s, default="-"), s[-1:]


@prog(("héllo",), ("",))
def bytes_and_back(s):
    b = s.encode()
    return b, b.decode("utf-8"), len(b), list(b), b + b"x", b[:1], b == s, b.hex()


@prog(("hello",), ("aab",))
def translates(s):
    table = str.maketrans("lo", "01")
    return s.translate(table), s.translate({ord("a"): "xy"}), str.upper(s)


@prog(("the cat the dog the",), ("",))
def counts_words(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts, sorted(counts.items(), key=lambda p: (-p[1], p[0]))


@prog(("racecar",), ("abc",), ("",))
def palindrome(s):
    i, j = 0, len(s) - 1
    while i < j:
        if s[i] != s[j]:
            return False
        i, j = i + 1, j - 1
    return True


@prog(("abcXYZ", 3), ("zZ", 1), ("", 5))
def caesar(s, k):
    out = []
    for c in s:
        if c.islower():
            out.append(chr((ord(c) - 97 + k) % 26 + 97))
        elif c.isupper():
            out.append(chr((ord(c) - ord("A") + k) % 26 + ord("A")))
        else:
            out.append(c)
    return "".join(out)


@prog(("3 4 + 2 *",), ("1 0 /",), ("1 +",))
def reverse_polish(text):
    stack = []
    for token in text.split(" "):
        if token in ("+", "-", "*", "/"):
            b, a = stack.pop(), stack.pop()
            stack.append(a + b if token == "+" else a - b if token == "-" else a * b if token == "*" else a / b)
        else:
            stack.append(int(token))
    return stack


@prog(("aaabbc",), ("",), ("x",))
def run_lengths(s):
    out, i = "", 0
    while i < len(s):
        j = i
        while j < len(s) and s[j] == s[i]:
            j += 1
        out += f"{s[i]}{j - i}"
        i = j
    return out
