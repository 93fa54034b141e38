# SPDX-License-Identifier: Apache-2.0
"""Figures beside what they must be and what we want them to be."""
import statistics


def spread(values, digits=2):
    """median (lowest to highest)"""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


def verdict(value, must, goal, least):
    if must is None:
        return ""
    better = (lambda a, b: a >= b) if least else (lambda a, b: a <= b)
    return "goal" if better(value, goal) else "PASS" if better(value, must) else "FAIL"


class Table:
    def __init__(self, reps):
        self.reps = reps
        self.lines = ["| case | median (lowest to highest) | must | goal | |",
                      "|---|---|---|---|---|"]
        self.notes, self.failed = [], []

    def row(self, what, unit, values, must=None, goal=None, least=False, digits=2):
        """A must is a limit above, unless `least`."""
        said = verdict(statistics.median(values), must, goal, least)
        sign = "≥" if least else "≤"
        bounds = f"{sign} {must:g} | {goal:g}" if must is not None else " | "
        self.lines.append(f"| {what} | {spread(values, digits)} {unit} | {bounds} | {said} |")
        print(f"{what}: {spread(values, digits)} {unit} {said}", flush=True)
        if said == "FAIL":
            self.failed.append(what)

    def note(self, text):
        self.notes.append(text)
        print(text, flush=True)

    def text(self):
        return "\n".join([*self.lines, "", *self.notes])
