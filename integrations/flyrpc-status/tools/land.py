#!/usr/bin/env python3
"""Converts Natural Earth's land at 1:110 m (public domain) to the path of an SVG.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    tools/land.py package/land-110m.json > src/render/land.svgpath

The input is TopoJSON. The projection is equirectangular, with 4 units a degree, cut off at 84 degrees north and 58
degrees south. `src/render/map.rs` uses the same figures.
"""

import json
import sys

UNITS, NORTH, SOUTH = 4, 84, -58
# Upper bound on the distance of a removed point from the simplified line, in units.
TOLERANCE = 0.7


def arcs_of(topology):
    (kx, ky), (x0, y0) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * kx + x0, y * ky + y0))
        yield line


def rings_of(topology):
    arcs = list(arcs_of(topology))
    for geometry in topology["objects"]["land"]["geometries"]:
        for polygon in geometry["arcs"]:
            for ring in polygon:
                points = []
                for at in ring:
                    line = arcs[at] if at >= 0 else arcs[~at][::-1]
                    points += line[1:] if points else line
                yield points


def cut(ring):
    """Cuts a ring at the antimeridian, because the input is made for a sphere. Moves what is beyond the other edges onto
    them."""
    unwrapped = [ring[0]]
    for lon, lat in ring[1:]:
        turns = round((unwrapped[-1][0] - lon) / 360)
        unwrapped.append((lon + 360 * turns, lat))
    for shift in (-360, 0, 360):
        points = [(lon + shift, min(max(lat, SOUTH), NORTH)) for lon, lat in unwrapped]
        points = half_plane(half_plane(points, 180, 1), -180, -1)
        if points:
            yield points


def half_plane(ring, edge, sign):
    """The algorithm of Sutherland and Hodgman, for one vertical edge."""
    kept = []
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1]):
        if (x0 - edge) * sign <= 0:
            kept.append((x0, y0))
        if (x0 - edge) * (x1 - edge) < 0:
            kept.append((edge, y0 + (y1 - y0) * (edge - x0) / (x1 - x0)))
    return kept


def simplify(line):
    """The algorithm of Ramer, Douglas and Peucker."""
    if len(line) < 3:
        return line
    (x0, y0), (x1, y1) = line[0], line[-1]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5

    def distance(point):
        x, y = point
        if length == 0:
            return ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        return abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length

    far = max(range(1, len(line) - 1), key=lambda at: distance(line[at]))
    if distance(line[far]) <= TOLERANCE:
        return [line[0], line[-1]]
    return simplify(line[: far + 1])[:-1] + simplify(line[far:])


def path(ring):
    if all(lat <= SOUTH for _, lat in ring):
        return ""
    points = [((lon + 180) * UNITS, (NORTH - lat) * UNITS) for lon, lat in ring]
    points = [(round(x), round(y)) for x, y in simplify(points)]
    steps = [(x - px, y - py) for (px, py), (x, y) in zip(points, points[1:])]
    steps = [step for step in steps if step != (0, 0)]
    if len(steps) < 3:
        return ""
    text = f"M{points[0][0]} {points[0][1]}l"
    for index, (dx, dy) in enumerate(steps[:-1]):
        text += f"{'' if index == 0 or dx < 0 else ' '}{dx}{'' if dy < 0 else ' '}{dy}"
    return text + "z"


def main():
    topology = json.load(open(sys.argv[1]))
    print("".join(path(part) for ring in rings_of(topology) for part in cut(ring)))


main()
