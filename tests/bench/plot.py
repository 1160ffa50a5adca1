#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Draws what run.py has measured: plot.py bench.json bench.svg

Three panels share their rows' layout: CPU per message and times on logarithmic
axes, memory in bars.  Colours follow the reader's light or dark background.
"""
import json
import math
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 880, 250, 92
ROW, TOP, AXIS, GAP = 24, 60, 34, 26
DOT = 5.5

STYLE = """
  .bg { fill: #ffffff } .ink { fill: #1f2328 } .dim { fill: #656d76 }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .row { stroke: #eef1f4; stroke-width: 1 }
  .natsd { fill: #0969da; stroke: #0969da }
  .relay { fill: #ffffff; stroke: #656d76 }
  .peer0 { fill: #cf6a00; stroke: #cf6a00 }
  .peer1 { fill: #8250df; stroke: #8250df }
  .peer2 { fill: #1a7f37; stroke: #1a7f37 }
  .peer3 { fill: #bf3989; stroke: #bf3989 }
  text { font: 13px -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
         Arial, sans-serif }
  .small { font-size: 11.5px } .head { font-size: 15px; font-weight: 600 }
  .ratio { font-weight: 600 } .end { text-anchor: end }
  .mid { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .bg { fill: #0d1117 } .ink { fill: #e6edf3 } .dim { fill: #8d96a0 }
    .grid { stroke: #30363d } .row { stroke: #1c2128 }
    .natsd { fill: #58a6ff; stroke: #58a6ff }
    .relay { fill: #0d1117; stroke: #8d96a0 }
    .peer0 { fill: #f0883e; stroke: #f0883e }
    .peer1 { fill: #bc8cff; stroke: #bc8cff }
    .peer2 { fill: #3fb950; stroke: #3fb950 }
    .peer3 { fill: #f778ba; stroke: #f778ba }
  }"""


class Picture:
    def __init__(self):
        self.parts, self.y = [], 0

    def add(self, text, *args):
        self.parts.append(text % args)

    def text(self, x, y, words, kind="ink"):
        self.add('<text x="%.1f" y="%.1f" class="%s">%s</text>', x, y, kind,
                 escape(words))

    def line(self, x1, y1, x2, y2, kind):
        self.add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>',
                 x1, y1, x2, y2, kind)

    def dot(self, x, y, kind, title):
        self.add('<circle cx="%.1f" cy="%.1f" r="%.1f" stroke-width="1.6" '
                 'class="%s"><title>%s</title></circle>', x, y, DOT, kind,
                 escape(title))

    def bar(self, x, y, width, height, kind, title):
        self.add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" '
                 'class="%s"><title>%s</title></rect>', x, y,
                 max(width, 1.5), height, kind, escape(title))

    def whole(self, title):
        height = self.y + 8
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
            'viewBox="0 0 %d %d" role="img">\n<title>%s</title>\n<style>%s\n'
            '</style>\n<rect class="bg" width="%d" height="%d" rx="8"/>\n%s\n'
            '</svg>\n' % (WIDTH, height, WIDTH, height, escape(title), STYLE,
                          WIDTH, height, "\n".join(self.parts)))


def time_text(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return "%g %s" % (float("%.3g" % (ns / size)), unit)
    return "%g ns" % float("%.3g" % ns)


class LogAxis:
    """Nanoseconds to x, from a power of ten to a power of ten."""

    def __init__(self, values):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def x(self, v):
        part = (math.log10(v) - self.low) / (self.high - self.low)
        return LEFT + part * (WIDTH - RIGHT - LEFT)

    def draw(self, pic, top, bottom):
        for power in range(self.low, self.high + 1):
            x = self.x(10.0 ** power)
            pic.line(x, top, x, bottom, "grid")
            pic.text(x, bottom + 17, time_text(10.0 ** power),
                     "dim small mid")


class Data:
    """The summary of a run by load, key and server."""

    def __init__(self, found):
        self.rows = {(r["load"], r["key"]): r for r in found["summary"]}
        self.loads = list(dict.fromkeys(r["load"] for r in found["summary"]))
        kinds = {n: s["kind"] for n, s in found["servers"].items()}
        self.peers = [n for n, kind in kinds.items() if kind == "peer"]
        # What lies behind is drawn first.
        self.shown = [("relay", "relay")] + [
            (n, "peer%d" % min(i, 3)) for i, n in enumerate(self.peers)
        ] + [("natsd", "natsd")]

    def value(self, load, key, server):
        row = self.rows.get((load, key))
        return row["figures"].get(server) if row else None

    def text(self, load):
        if load == "conns":
            return "opening a connection"
        return next(r["text"] for (n, _), r in self.rows.items() if n == load)

    def has(self, load, key):
        return self.value(load, key, "natsd") and any(
            self.value(load, key, p) for p in self.peers + ["relay"])


def ratio_text(data, load, key):
    """How many times natsd's the first peer takes."""
    ours = data.value(load, key, "natsd")
    theirs = data.value(load, key, data.peers[0]) if data.peers else None
    return "%.2g x" % (theirs / ours) if ours and theirs else ""


def panel_head(pic, data, title, note):
    pic.y += GAP
    pic.text(20, pic.y + 16, title, "ink head")
    pic.text(20, pic.y + 34, note, "dim small")
    if data.peers:
        pic.text(WIDTH - 20, pic.y + 34, "%s / natsd" % data.peers[0],
                 "dim small end")
    pic.y += TOP - 12


def row_frame(pic, data, load, key, text, y):
    pic.line(LEFT, y, WIDTH - RIGHT, y, "row")
    pic.text(LEFT - 14, y + 4.5, text, "ink end")
    pic.text(WIDTH - 20, y + 4.5, ratio_text(data, load, key),
             "ink ratio end")


def cpu_panel(pic, data):
    key = "server_cpu_ns"
    loads = [n for n in data.loads if data.has(n, key)]
    values = [data.value(n, key, s) for n in loads for s, _ in data.shown]
    if not loads:
        return
    axis = LogAxis([v for v in values if v])
    panel_head(pic, data, "CPU time of the server",
               "all processes, for each message delivered, request or "
               "connection; logarithmic, less is better")
    top = pic.y
    bottom = top + ROW * len(loads)
    axis.draw(pic, top, bottom)
    for i, load in enumerate(loads):
        y = top + ROW * (i + 0.5)
        row_frame(pic, data, load, key, data.text(load), y)
        for name, kind in data.shown:
            v = data.value(load, key, name)
            if v:
                pic.dot(axis.x(v), y, kind, "%s: %s" % (name, time_text(v)))
    pic.y = bottom + AXIS


def latency_panel(pic, data):
    p50, p99 = "lat_p50_us", "lat_p99_us"
    loads = [n for n in data.loads if data.has(n, p50) and data.has(n, p99)]
    values = [data.value(n, k, s) for n in loads for s, _ in data.shown
              for k in (p50, p99)]
    values = [v * 1e3 for v in values if v]
    if not loads:
        return
    axis = LogAxis(values)
    panel_head(pic, data, "Latency",
               "from the median (dot) to the 99th percentile (end of the "
               "line); logarithmic, less is better")
    top = pic.y
    each = ROW * 1.5
    axis.draw(pic, top, top + each * len(loads))
    for i, load in enumerate(loads):
        y = top + each * (i + 0.5)
        row_frame(pic, data, load, p99, data.text(load), y)
        here = [(n, k) for n, k in data.shown[::-1]
                if data.value(load, p50, n)]
        for j, (name, kind) in enumerate(here):
            at = y + (j - (len(here) - 1) / 2) * 9
            a, b = (data.value(load, k, name) * 1e3 for k in (p50, p99))
            title = "%s: %s, 99 %%: %s" % (name, time_text(a), time_text(b))
            pic.bar(axis.x(a), at - 1.6, axis.x(b) - axis.x(a), 3.2, kind,
                    title)
            pic.dot(axis.x(a), at, kind, title)
    pic.y = top + each * len(loads) + AXIS


def memory_panel(pic, data):
    rows = [("conns", "conn_bytes", "an idle connection"),
            ("subs-500k", "sub_bytes", "a subscription")]
    rows = [r for r in rows if data.has(r[0], r[1])]
    if not rows:
        return
    panel_head(pic, data, "Memory of the server", "bytes (PSS); each bar in "
               "its row's scale, less is better")
    shown = [s for s in data.shown[::-1] if s[0] != "relay"]
    each = 15 * len(shown) + 12
    for load, key, text in rows:
        values = [data.value(load, key, n) or 0 for n, _ in shown]
        y = pic.y + each / 2
        pic.text(LEFT - 14, y + 4.5, text, "ink end")
        pic.text(WIDTH - 20, y + 4.5, ratio_text(data, load, key),
                 "ink ratio end")
        for j, ((name, kind), v) in enumerate(zip(shown, values)):
            at = pic.y + 6 + 15 * j
            width = (WIDTH - RIGHT - LEFT - 70) * v / max(values)
            pic.bar(LEFT, at, width, 11, kind, "%s: %.0f bytes" % (name, v))
            pic.text(LEFT + max(width, 2) + 7, at + 10,
                     "{:,.0f}".format(v), "dim small")
        pic.y += each


def legend(pic, data):
    x = WIDTH - 20
    for name, kind in data.shown:
        words = {"relay": "byte relay, no broker"}.get(
            name, name.replace("nats ", "nats-server "))
        x -= 6.6 * len(words)
        pic.text(x, pic.y + 26, words, "ink small")
        x -= 12
        pic.dot(x, pic.y + 22, kind, name)
        x -= 18


def draw(found):
    data = Data(found)
    pic = Picture()
    pic.text(20, 28, "natsd", "ink head")
    legend(pic, data)
    pic.y = 24
    cpu_panel(pic, data)
    latency_panel(pic, data)
    memory_panel(pic, data)
    pic.y += 24
    pic.text(20, pic.y, "%s; %s; medians of %d round%s%s" % (
        found["date"][:10], found["machine"], found["rounds"],
        "" if found["rounds"] == 1 else "s", "; a quick look only" if found["quick"] else ""), "dim small")
    pic.y += 6
    return pic.whole("natsd and others: CPU, latency, memory")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plot.py bench.json bench.svg")
    try:
        with open(sys.argv[1]) as f:
            found = json.load(f)
    except (OSError, ValueError) as e:
        sys.exit("plot.py: %s: %s (make bench makes it)" % (sys.argv[1], e))
    with open(sys.argv[2], "w") as f:
        f.write(draw(found))


if __name__ == "__main__":
    main()
