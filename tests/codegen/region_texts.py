"""Texts of regions that several scheduler tests share. Sizes T and B are symbols; I, H are filled in."""

from __future__ import annotations


def lstm(i: int, h: int) -> str:
    return f"""graph @lstm(%x: f32[T,B,{i}], %h0: f32[B,{h}], %c0: f32[B,{h}], %n: int<T>, %wi: f32[{4 * h},{i}],
          %wh: f32[{4 * h},{h}], %bi: f32[{4 * h}], %bh: f32[{4 * h}]) -> (f32[T,B,{h}], f32[B,{h}], f32[B,{h}]) {{
  %wit: f32[{i},{4 * h}] = t(%wi)
  %xp: f32[T,B,{4 * h}] = matmul(%x, %wit)
  %xb: f32[T,B,{4 * h}] = add(%xp, %bi)
  %wht: f32[{h},{4 * h}] = t(%wh)
  %h: f32[B,{h}], %c: f32[B,{h}], %ys: f32[T,B,{h}] = loop %n, True, (%i: int, %h1: f32[B,{h}] = %h0,
        %c1: f32[B,{h}] = %c0) {{
    %xt: f32[B,{4 * h}] = select(%xb, 0, %i)
    %hh: f32[B,{4 * h}] = matmul(%h1, %wht)
    %g0: f32[B,{4 * h}] = add(%xt, %hh)
    %g: f32[B,{4 * h}] = add(%g0, %bh)
    %i1: f32[B,{h}], %f1: f32[B,{h}], %g1: f32[B,{h}], %o1: f32[B,{h}] = chunk(%g, 4, 1)
    %i2: f32[B,{h}] = sigmoid(%i1)
    %f2: f32[B,{h}] = sigmoid(%f1)
    %g2: f32[B,{h}] = tanh(%g1)
    %o2: f32[B,{h}] = sigmoid(%o1)
    %fc: f32[B,{h}] = mul(%f2, %c1)
    %ig: f32[B,{h}] = mul(%i2, %g2)
    %c2: f32[B,{h}] = add(%fc, %ig)
    %tc: f32[B,{h}] = tanh(%c2)
    %h2: f32[B,{h}] = mul(%o2, %tc)
    yield True, %h2, %c2 | stacked %h2
  }}
  return %ys, %h, %c
}}"""


def gru(i: int, h: int) -> str:
    return f"""graph @gru(%x: f32[T,B,{i}], %h0: f32[B,{h}], %n: int<T>, %wi: f32[{3 * h},{i}],
          %wh: f32[{3 * h},{h}], %bi: f32[{3 * h}], %bh: f32[{3 * h}]) -> (f32[T,B,{h}], f32[B,{h}]) {{
  %wit: f32[{i},{3 * h}] = t(%wi)
  %xp: f32[T,B,{3 * h}] = matmul(%x, %wit)
  %xb: f32[T,B,{3 * h}] = add(%xp, %bi)
  %wht: f32[{h},{3 * h}] = t(%wh)
  %h: f32[B,{h}], %ys: f32[T,B,{h}] = loop %n, True, (%i: int, %h1: f32[B,{h}] = %h0) {{
    %xt: f32[B,{3 * h}] = select(%xb, 0, %i)
    %hh: f32[B,{3 * h}] = matmul(%h1, %wht)
    %g: f32[B,{3 * h}] = add(%hh, %bh)
    %xr: f32[B,{h}], %xz: f32[B,{h}], %xn: f32[B,{h}] = chunk(%xt, 3, 1)
    %hr: f32[B,{h}], %hz: f32[B,{h}], %hn: f32[B,{h}] = chunk(%g, 3, 1)
    %r0: f32[B,{h}] = add(%xr, %hr)
    %r: f32[B,{h}] = sigmoid(%r0)
    %z0: f32[B,{h}] = add(%xz, %hz)
    %z: f32[B,{h}] = sigmoid(%z0)
    %rn: f32[B,{h}] = mul(%r, %hn)
    %n0: f32[B,{h}] = add(%xn, %rn)
    %nn: f32[B,{h}] = tanh(%n0)
    %d: f32[B,{h}] = sub(%h1, %nn)
    %zd: f32[B,{h}] = mul(%z, %d)
    %h2: f32[B,{h}] = add(%nn, %zd)
    yield True, %h2 | stacked %h2
  }}
  return %ys, %h
}}"""


def norm_peephole_lstm(i: int, h: int) -> str:
    return f"""graph @lnlstm(%x: f32[T,B,{i}], %h0: f32[B,{h}], %c0: f32[B,{h}], %n: int<T>, %wi: f32[{4 * h},{i}],
          %wh: f32[{4 * h},{h}], %bi: f32[{4 * h}], %gm: f32[{4 * h}], %pi: f32[{h}],
                %po: f32[{h}]) -> (f32[T,B,{h}], f32[B,{h}], f32[B,{h}]) {{
  %wit: f32[{i},{4 * h}] = t(%wi)
  %xp: f32[T,B,{4 * h}] = matmul(%x, %wit)
  %xb: f32[T,B,{4 * h}] = add(%xp, %bi)
  %wht: f32[{h},{4 * h}] = t(%wh)
  %h: f32[B,{h}], %c: f32[B,{h}], %ys: f32[T,B,{h}] = loop %n, True, (%i: int, %h1: f32[B,{h}] = %h0,
        %c1: f32[B,{h}] = %c0) {{
    %xt: f32[B,{4 * h}] = select(%xb, 0, %i)
    %hh: f32[B,{4 * h}] = matmul(%h1, %wht)
    %g0: f32[B,{4 * h}] = add(%xt, %hh)
    %s: f32[B,1] = sum(%g0, [1], True)
    %m: f32[B,1] = div(%s, {4 * h})
    %d: f32[B,{4 * h}] = sub(%g0, %m)
    %q: f32[B,{4 * h}] = mul(%d, %d)
    %v: f32[B,1] = sum(%q, [1], True)
    %v1: f32[B,1] = div(%v, {4 * h})
    %v2: f32[B,1] = add(%v1, 1e-5)
    %r: f32[B,1] = sqrt(%v2)
    %y: f32[B,{4 * h}] = div(%d, %r)
    %g: f32[B,{4 * h}] = mul(%y, %gm)
    %i1: f32[B,{h}], %f1: f32[B,{h}], %g1: f32[B,{h}], %o1: f32[B,{h}] = chunk(%g, 4, 1)
    %pc: f32[B,{h}] = mul(%c1, %pi)
    %i11: f32[B,{h}] = add(%i1, %pc)
    %i2: f32[B,{h}] = sigmoid(%i11)
    %f2: f32[B,{h}] = sigmoid(%f1)
    %g2: f32[B,{h}] = tanh(%g1)
    %fc: f32[B,{h}] = mul(%f2, %c1)
    %ig: f32[B,{h}] = mul(%i2, %g2)
    %c2: f32[B,{h}] = add(%fc, %ig)
    %pc2: f32[B,{h}] = mul(%c2, %po)
    %o11: f32[B,{h}] = add(%o1, %pc2)
    %o2: f32[B,{h}] = sigmoid(%o11)
    %tc: f32[B,{h}] = tanh(%c2)
    %h2: f32[B,{h}] = mul(%o2, %tc)
    yield True, %h2, %c2 | stacked %h2
  }}
  return %ys, %h, %c
}}"""


ATTENTION = """graph @att(%x: f32[B,6,8], %wq: f32[8,8], %wk: f32[8,8], %wv: f32[8,8]) -> f32[B,6,8] {
 %q: f32[B,6,8] = matmul(%x, %wq)
 %k: f32[B,6,8] = matmul(%x, %wk)
 %v: f32[B,6,8] = matmul(%x, %wv)
 %q4: f32[B,6,2,4] = view(%q, [-1, 6, 2, 4])
 %k4: f32[B,6,2,4] = view(%k, [-1, 6, 2, 4])
 %v4: f32[B,6,2,4] = view(%v, [-1, 6, 2, 4])
 %qt: f32[B,2,6,4] = transpose(%q4, 1, 2)
 %kt: f32[B,2,4,6] = permute(%k4, [0,2,3,1])
 %vt: f32[B,2,6,4] = transpose(%v4, 1, 2)
 %s: f32[B,2,6,6] = matmul(%qt, %kt)
 %s1: f32[B,2,6,6] = div(%s, 2.0)
 %m: f32[B,2,6,1] = amax(%s1, [-1], True)
 %d: f32[B,2,6,6] = sub(%s1, %m)
 %e: f32[B,2,6,6] = exp(%d)
 %z: f32[B,2,6,1] = sum(%e, [-1], True)
 %p: f32[B,2,6,6] = div(%e, %z)
 %o: f32[B,2,6,4] = matmul(%p, %vt)
 %ot: f32[B,6,2,4] = transpose(%o, 1, 2)
 %oc: f32[B,6,8] = reshape(%ot, [-1, 6, 8])
 %y: f32[B,6,8] = add(%oc, %x)
 return %y
}"""


BRANCH_IN_A_LOOP = """graph @f(%x: f32[T,4], %n: int<T>, %k: int) -> (f32[4], int) {
  %z: f32[4] = zeros([4])
  %a: f32[4], %m: int = loop %n, True, (%i: int, %ai: f32[4] = %z, %mi: int = 0) {
    %r: f32[4] = select(%x, 0, %i)
    %q: int = py.mod(%i, %k)
    %c: bool = py.eq(%q, 0)
    %a2: f32[4], %m2: int = if %c {
      %t: f32[4] = add(%ai, %r)
      %p: int = py.add(%mi, 1)
      yield %t, %p
    } else {
      yield %ai, %mi
    }
    yield True, %a2, %m2
  }
  return %a, %m
}"""
