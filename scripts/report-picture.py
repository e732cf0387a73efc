#!/usr/bin/env python3
"""Makes a picture (SVG) of a page of `gerelion report`: slices and projections of its maps, and its FSC where it has one.

    scripts/report-picture.py Refine3D/run_report.html docs/pictures/bgal-refined.svg
    scripts/report-picture.py demo/Refine3D/run_report.html docs/pictures/demo.svg 1     the first map only, the FSC beside it
"""

import re
import sys

SIDE, GAP, TEXT = 142, 8, 18
WIDTH = 6 * SIDE + 5 * GAP
STYLE = """
text { font: 12px system-ui, "Segoe UI", Arial, sans-serif; fill: #1a1a1a; }
.caption { font-weight: 600; font-size: 13px; } .tick { font-size: 11px; }
.grid { stroke: #ccc; stroke-width: 0.7; fill: none; } .frame { stroke: #555; stroke-width: 1; fill: none; }
.rule { stroke: #555; stroke-width: 1; stroke-dasharray: 4 3; fill: none; }
.curve { stroke-width: 1.8; fill: none; stroke-linejoin: round; }
"""


def maps(page):
    """Returns caption and views (image, label, width of the scale bar in %, its label) of each map of the last iteration."""
    section = re.search(r"<h2>Maps.*?</section>", page, re.S)
    if not section:
        sys.exit("the page shows no maps")
    view = r'<img src="([^"]+)".*?style="width:([\d.]+)%">([^<]+)</div>([^<]+)<'
    for figure in re.findall(r"<figure>(.*?)</figure>", section[0], re.S):
        caption = re.search(r"<figcaption>([^<]*)<", figure)[1]
        yield caption, re.findall(view, figure, re.S)


def rows(page, most):
    """Yields height and content of each row of the picture: at most `most` maps, and the FSC; that of one map is beside it."""
    # The curve of auto-refine, where the page has it.
    chart = re.search(r'<figcaption>(FSC between[^<]*)</figcaption>\s*<svg[^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*?)</svg>', page, re.S)
    is_beside = chart and most == 1
    columns = 3 if is_beside else 6
    for caption, views in list(maps(page))[:most]:
        parts = [f'<text class="caption" x="0" y="14">{caption}</text>']
        for i, (image, bar, scale, label) in enumerate(views):
            x, y = i % columns * (SIDE + GAP), 22 + i // columns * (SIDE + TEXT + GAP)
            length = float(bar) / 100 * SIDE
            parts.append(f'<image x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" href="{image}"/>')
            parts.append(f'<path d="M{x} {y + SIDE + 4}h{length:.1f}" stroke="#1a1a1a" stroke-width="3"/>')
            parts.append(f'<text x="{x}" y="{y + SIDE + TEXT}">{scale}, {label}</text>')
        height = 22 + len(views) // columns * (SIDE + TEXT + GAP) + 6
        if is_beside:
            left = WIDTH / 2 + GAP
            parts.append(f'<g transform="translate({left} 0)">' + "\n".join(curve(chart, WIDTH - left)) + "</g>")
        yield height, parts
    if chart and not is_beside:
        yield 18 + float(chart[3]), curve(chart, float(chart[2]))


def curve(chart, width):
    """The FSC with its caption, as wide as is asked for."""
    scale = width / float(chart[2])
    return [f'<text class="caption" x="0" y="14">{chart[1]}</text>', f'<g transform="translate(0 18) scale({scale:.3f})">{chart[4]}</g>']


def main():
    source, target, *most = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        page = file.read()
    height, content = 0, []
    for row, parts in rows(page, int(most[0]) if most else None):
        content.append(f'<g transform="translate(0 {height})">' + "\n".join(parts) + "</g>")
        height += row
    with open(target, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n')
        file.write(f'<style>{STYLE}</style>\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n')
        file.write("\n".join(content) + "\n</svg>\n")


if __name__ == "__main__":
    main()
