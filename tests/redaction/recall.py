#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much the default rules find: the share of planted secrets of which every byte is covered,
by source, and the share of clean values in which anything is found.

    recall.py --find build/redaction-test/find [--clean N] [--corpus FILE.jsonl] [--missed N]

A corpus is lines of {"source": ..., "rule": ..., "value": ..., "secret": ..., "held": bool}; what
is held aside is counted apart and never shown. Without one, our own shapes are used (shapes.py).
Ends with `recall: N passed, N failed`."""
import argparse
import collections
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clean  # noqa: E402
import shapes  # noqa: E402

LEAST_RECALL = 0.97   # of our own shapes
MOST_ALTERED = 0.001  # of clean values


def find(program, pairs):
    """The hits of each (key, value): lists of (start, end, rule), over bytes."""
    out = bytearray()
    for key, value in pairs:
        k, v = key.encode(), value.encode("utf-8", "surrogatepass")
        out += b"%d %d\n" % (len(k), len(v)) + k + v
    lines = subprocess.run([program], input=bytes(out), stdout=subprocess.PIPE,
                           check=True).stdout.decode().split("\n")
    for line in lines[:len(pairs)]:
        words = line.split()
        yield [(int(words[i]), int(words[i + 1]), words[i + 2]) for i in range(0, len(words), 3)]


def is_covered(item, hits):
    """Every byte of at least one place where the secret stands, and of all such places."""
    value, secret = item["value"].encode("utf-8", "surrogatepass"), item["secret"].encode()
    hidden = bytearray(len(value))
    for start, end, _ in hits:
        hidden[start:end] = b"\1" * (end - start)
    at, seen = value.find(secret), False
    while at >= 0:
        seen = True
        if not all(hidden[at:at + len(secret)]):
            return False
        at = value.find(secret, at + 1)
    return seen


def score(program, items, missed):
    found, total, shown = collections.Counter(), collections.Counter(), collections.Counter()
    pairs = [(item.get("key", ""), item["value"]) for item in items]
    for item, hits in zip(items, find(program, pairs)):
        source = (item["source"], item.get("held", False))
        total[source] += 1
        if is_covered(item, hits):
            found[source] += 1
        elif not item.get("held") and shown[item["rule"]] < missed:
            shown[item["rule"]] += 1
            print("missed", item["rule"], repr(item["value"][:160]), repr(item["secret"][:60]),
                  hits[:2])
    for source in sorted(total):
        print("recall %-16s %-8s %6d of %6d  %.4f" % (
            source[0], "held out" if source[1] else "seen", found[source], total[source],
            found[source] / total[source]))
    return sum(found.values()), sum(total.values())


def altered(program, n, missed):
    rules, count, done = collections.Counter(), collections.Counter(), collections.Counter()
    for kind, values in clean.batches(n):
        for value, hits in zip(values, find(program, [(key, text) for key, text in values])):
            done[kind] += 1
            if not hits:
                continue
            count[kind] += 1
            for rule in {hit[2] for hit in hits}:
                rules[rule] += 1
                if rules[rule] <= missed:
                    start, end, _ = next(h for h in hits if h[2] == rule)
                    text = value[1].encode()
                    print("altered", rule, kind, repr(text[max(0, start - 40):end + 20]),
                          repr(text[start:end]))
    for kind in sorted(done):
        print("clean %-14s %6d of %7d altered" % (kind, count[kind], done[kind]))
    print("clean by rule:", dict(rules.most_common(40)))
    return sum(count.values()), sum(done.values())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--find", required=True)
    p.add_argument("--clean", type=int, default=100000)
    p.add_argument("--corpus", action="append", default=[])
    p.add_argument("--missed", type=int, default=0)
    args = p.parse_args()
    items = []
    for name in args.corpus:
        with open(name) as f:
            items += [json.loads(line) for line in f]
    own = list(shapes.items(20000))
    if items:
        score(args.find, items, args.missed)
    found, total = score(args.find, own, args.missed)
    bad, done = altered(args.find, args.clean, args.missed)
    print("altered %d of %d clean values: %.5f" % (bad, done, bad / max(1, done)))
    good = (found >= LEAST_RECALL * total) + (bad <= MOST_ALTERED * done)
    print("recall: %d passed, %d failed" % (good, 2 - good))
    return 0 if good == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
