"""The style sheet: the window's colours, light and dark as the reader's system has it, light in print."""

from qatviz.report import heat

_LIGHT = """
  --window: #eef0f3; --base: #ffffff; --raised: #e2e5ea; --line: #c3c8d1; --text: #15181d; --muted: #59616e;
  --accent: #0072b2; --float: #5b6b7d; --quantized: #0072b2; --clipped: #a83c00; --flushed: #bd8300; --edge: #7a6a00;
  --good: #007a5a; --warning: #8a5f00; --bad: #b84a00; --s1: #b97f00; --s2: #008f6b; --shade: #f6e3da;"""
_DARK = """
  --window: #16181d; --base: #0f1115; --raised: #23262e; --line: #353a45; --text: #e6e8ec; --muted: #9aa1ad;
  --accent: #56b4e9; --float: #9fb3c8; --quantized: #56b4e9; --clipped: #d55e00; --flushed: #e69f00; --edge: #f0e442;
  --good: #2bb58a; --warning: #e69f00; --bad: #e8703a; --s1: #e69f00; --s2: #2bb58a; --shade: #2b1d14;"""

_RULES = """
* { box-sizing: border-box; }
html { color-scheme: light dark; }
body { margin: 0 auto; padding: 1.2rem 1.4rem 3rem; max-width: 1160px; background: var(--window); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem;
  border-bottom: 2px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1.02rem; margin: 1.3rem 0 .3rem; } h1, h2, h3, dd, li, p { overflow-wrap: anywhere; }
td, th { overflow-wrap: break-word; }
p { margin: .35rem 0; } a { color: var(--accent); } header .state { color: var(--muted); margin: 0 0 .6rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; margin: .6rem 0; }
.verdict { background: var(--base); border: 1px solid var(--line); border-left: 5px solid var(--accent);
  border-radius: 4px; padding: .5rem 1rem; margin: .6rem 0 1rem; }
.verdict > p:first-child { font-size: 1.12rem; font-weight: 600; }
.verdict ul { padding-left: 1.1rem; margin: .4rem 0; list-style: none; text-indent: -1.1rem; }
.card { background: var(--base); border: 1px solid var(--line); border-radius: 4px; padding: .3rem 1rem .7rem;
  margin: .9rem 0; }
.card h3 { margin-top: .5rem; }
.about, figcaption, .legend { color: var(--muted); font-size: .86rem; }
figcaption b { color: var(--text); margin-right: .7em; }
figcaption .about { display: block; font-size: .8rem; }
.missing { color: var(--muted); font-style: italic; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 1rem; margin: .5rem 0; align-items: flex-end; }
figure { margin: 0; max-width: 100%; } figure.size-520 { width: 520px; } figure.size-346 { width: 346px; }
figure.size-256 { width: 256px; } figure > svg { display: block; }
svg { max-width: 100%; height: auto; } .wide > svg { max-width: none; }
.course svg { background: var(--base); } .graph { background: none; }
.wide { overflow-x: auto; margin: .6rem 0 1rem; } .wide:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; background: var(--base); font-size: .86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .2rem 0 .35rem; }
th, td { border: 1px solid var(--line); padding: .18rem .5rem; text-align: left; vertical-align: top; }
thead th { background: var(--raised); vertical-align: bottom; } tbody th { font-weight: 500; }
th.number, td.number { text-align: right; white-space: nowrap; } abbr { text-decoration: none; cursor: help; }
.tensors th, .tensors td { white-space: nowrap; }
td ul { margin: 0; padding-left: 1rem; } td.changed { font-weight: 700; } td.left { color: var(--muted); }
.scores td { font-size: 1rem; } td.good, b.good, span.good { color: var(--good); } .grave { color: var(--bad); }
td.warning, b.warning, span.warning { color: var(--warning); font-weight: 600; }
td.bad, b.bad, span.bad { color: var(--bad); font-weight: 700; } td.none, span.none { color: var(--muted); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { color: var(--muted); } dd { margin: 0; } details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); }
.legend > span { margin-right: 1.1em; white-space: nowrap; } figcaption .legend { display: inline-block; }
.key { display: inline-block; width: 1.5em; height: .75em; margin-right: .4em; border-top: 0 solid;
  vertical-align: baseline; }
.key.s0, .key.s1, .key.s2, .key.clipping, .key.rounding, .key.float-line, .key.quantized-line { height: .32em;
  border-top-width: 2px; }
.key.s0, .key.quantized-line { border-color: var(--quantized); } .key.quantized-line { border-top-width: 3px; }
.key.float-line { border-color: var(--float); } .key.s1 { border-color: var(--s1); border-top-style: dashed; }
.key.s2 { border-color: var(--s2); border-top-style: dotted; }
.key.clipping { border-color: var(--clipped); border-top-style: dashed; }
.key.rounding { border-color: var(--s2); border-top-style: dotted; }
.key.float { background: var(--float); opacity: .5; } .key.clipped { background: var(--clipped); }
.key.flushed { background: var(--flushed); opacity: .75; }
.key.levels { border: 1.5px solid var(--quantized); }
.key.edge { width: .5em; border-left: 2px solid var(--edge); border-top: 2px solid var(--edge); }
.key.unused { height: .3em; width: .35em; background: var(--quantized); opacity: .6; }
svg text { font: 10.5px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--muted); }
svg .grid { stroke: var(--line); stroke-width: .6; } svg .axis { stroke: var(--muted); stroke-width: .8; fill: none; }
svg .marker { stroke: var(--clipped); stroke-width: 1.1; stroke-dasharray: 4 3; }
svg .marker.weak { stroke: var(--muted); stroke-width: .6; stroke-dasharray: 2 4; }
svg .number { fill: var(--clipped); font-weight: 700; } svg .number.weak { fill: var(--muted); font-weight: 400; }
svg .line { fill: none; stroke: var(--quantized); stroke-width: 1.4; stroke-linejoin: round; stroke-linecap: round; }
svg .line.dot { stroke-width: 4; stroke-dasharray: none; }
svg .band { stroke: none; fill: var(--quantized); opacity: .22; }
svg .line.s1 { stroke: var(--s1); stroke-dasharray: 6 3; } svg .line.s2 { stroke: var(--s2); stroke-dasharray: 1.5 3; }
svg .line.float-line { stroke: var(--float); } svg .line.quantized-line { stroke-width: 2.3; }
svg .line.whole { stroke-width: 3.2; stroke-opacity: .45; }
.key.whole { height: .32em; border-top: 4px solid var(--quantized); opacity: .55; }
svg .line.clipping { stroke: var(--clipped); stroke-dasharray: 5 3; }
svg .line.rounding { stroke: var(--s2); stroke-dasharray: 1.5 3; }
svg .band.s1 { fill: var(--s1); } svg .band.s2, svg .band.rounding { fill: var(--s2); }
svg .band.clipping { fill: var(--clipped); }
svg .band.clipping, svg .band.rounding { opacity: .1; }
svg .outside { fill: var(--shade); } svg .float { fill: var(--float); fill-opacity: .42; }
svg .flushed { fill: var(--flushed); fill-opacity: .75; } svg .clipped { fill: var(--clipped); }
svg .levels { fill: var(--quantized); fill-opacity: .14; stroke: var(--quantized); stroke-width: 1; }
svg .level { fill: var(--quantized); } svg .unused { fill: var(--quantized); fill-opacity: .6; }
svg .edge { fill: none; stroke: var(--edge); stroke-width: 1.3; } svg .cut { stroke: var(--base); stroke-width: 2.4; }
svg .box { fill: var(--raised); stroke: var(--line); stroke-width: 1.2; } svg .box.plain { fill: var(--window); }
svg .badge { fill: var(--base); stroke: var(--line); } svg .badge.warning { stroke: var(--warning); stroke-width: 1.6; }
svg .badge.bad { stroke: var(--bad); stroke-width: 2.2; } svg .badge.good { stroke: var(--good); }
svg text.name { font-weight: 700; font-size: 12px; fill: var(--text); } .graph g g text { fill: var(--text); }
.graph g g text.symbol.good { fill: var(--good); } .graph g g text.symbol.warning { fill: var(--warning); }
.graph g g text.symbol.bad { fill: var(--bad); }
svg .edges { fill: none; stroke: var(--muted); stroke-width: 1.4; } svg .heads { fill: var(--muted); }
footer { color: var(--muted); margin-top: 2.5rem; font-size: .86rem; }
@page { margin: 14mm 12mm; }
@media print {
  figure.size-520 { width: 48.5%; } figure.size-346 { width: 32%; } figure.size-256 { width: 23.6%; }
  .figures { gap: .35rem 1%; } .chart text, .histogram text { font-size: 13px; } svg { overflow: visible; }
  details::details-content { content-visibility: visible; height: auto; }
  body { max-width: none; padding: 0; font-size: 10.5pt; background: #fff; } nav { display: none; }
  .card, figure, tr, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .wide { overflow: visible; } .wide > svg { max-width: 100%; } .tensors { font-size: 6.5pt; }
  .tensors td, .tensors th { padding: .1rem .15rem; white-space: normal; overflow-wrap: anywhere; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

_DARK_ONLY = "@media screen and (prefers-color-scheme: dark)"
STYLE = f":root {{{_LIGHT}\n}}\n{_DARK_ONLY} {{ :root {{{_DARK}\n}} }}\n{heat.style()}{_RULES}"
