# SPDX-License-Identifier: Apache-2.0
"""What `spanrelay plan` says of a recorded hour, sped up, beside what a relay with that configuration then keeps.

  plan.py [--seconds N] [--rate SPANS] [--recent SIZE]

A relay records a minute of traffic in a ring that holds about a tenth of it. `plan` is asked about each of the
configurations below; then a relay with each of them gets a minute of the same kind of traffic. What the two say is
kept of all spans, and of each rule's, must agree within 5 %. Prints a line for each, then `plan-truth: N passed,
N failed`."""
import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bench"))

from rig import BINARY, Load, Relay, Sink, running, scratch  # noqa: E402

BAR = 0.05
TRACE_SPANS = 6  # of the load
BEGIN = """
sampling:
  wait: 1s
  root_wait: 300ms
  trace_spans: 10
  recent: {recent}
  rules:
    - {{ name: errors, when: "any(span.error)", keep: 100% }}
    - {{ name: bots, when: 'any(span.user_agent.original == "okhttp/4.12.0" and span.http.route == "/login")', keep: 2% }}
{rules}
{budgets}
journal: {{ limit: 256MiB }}
"""
NOW = "    - { name: rest, keep: 10% }"
PROTECTED = ("keep: 100% }", "keep: 100%, protected: true }")
LOGIN = "    - { name: login, when: 'any(span.http.route == \"/login\")', keep: 5% }\n"
TRIES = {  # rules, budgets
    "another share": ("    - { name: rest, keep: 35% }", ""),
    "a new rule": (LOGIN + "    - { name: rest, keep: 10% }", ""),
    "a goal by key": ("    - { name: rest, keep: { spans_per_second: 900, by: [service.name, http.route] } }", ""),
    "a budget": ("    - { name: rest, keep: 50% }", "budgets: [ { name: total, spans_per_second: 1500, reserve: 20% } ]"),
    "bytes of teams": (
        "    - { name: rest, keep: 100% }",
        "budgets:\n"
        "  - { name: total, bytes_per_second: 900KB }\n"
        "  - { name: teams, parent: total, by: service.name, spans_per_second: 400 }",
    ),
}


def config(rules, budgets, recent):
    text = BEGIN.format(rules=rules, budgets=budgets, recent=recent)
    return text.replace(*PROTECTED, 1) if budgets else text


class Subject:
    def __init__(self, folder, name, text, sink):
        os.makedirs(os.path.join(folder, name))
        exporter = f'{{ name: main, protocol: http/protobuf, compression: none, endpoint: "http://127.0.0.1:{sink.port}" }}'
        self.relay = Relay(os.path.join(folder, name), [exporter], extra=text)
        running.append(self.relay)

    def account(self):
        """(offered, kept) spans: of all, then by rule."""
        status = self.relay.status()
        rules = {r["name"]: (r["kept_spans"] + r["dropped_spans"], r["kept_spans"]) for r in status["sampling"]["rules"]}
        ledger = status["ledger"]
        return {"all": (ledger["accepted"] - ledger["pending"], ledger["judged"]["kept"]), **rules}

    def run(self, options, seconds, warm):
        """(offered, kept) as above, once soft control has settled."""
        clients = Load(self.relay.grpc, {**options, "seconds": seconds})
        time.sleep(warm)
        before = self.account()
        while not clients.is_over():
            time.sleep(0.05)
            after = self.account()
        clients.result()
        return {k: (after[k][0] - before[k][0], after[k][1] - before[k][1]) for k in after}

    def stop(self):
        self.relay.stop()
        running.remove(self.relay)


def planned(folder, recorded, text):
    path = os.path.join(folder, "candidate.yaml")
    with open(path, "w") as f:
        f.write(text)
    begun = time.monotonic()
    out = subprocess.run([BINARY, "plan", "-c", path, "--data-dir", recorded.relay.data, "--json"],
                         stdout=subprocess.PIPE, check=True).stdout
    plan = json.loads(out)
    shares = {"all": plan["planned"]["kept_share"]}
    for r in plan["rules"]:
        if "planned" in r and "kept_share" in r["planned"]:
            shares[r["name"]] = r["planned"]["kept_share"]
    return plan, shares, time.monotonic() - begun


def compare(name, predicted, real):
    """What a relay keeps by a share is a matter of luck too: of rules, two standard deviations of it are no fault."""
    good, words = True, []
    for key, (offered, kept) in real.items():
        if key not in predicted or kept == 0:
            continue
        off = predicted[key] / (kept / offered) - 1
        luck = 0 if key == "all" else 2 * (TRACE_SPANS * (1 - kept / offered) / kept) ** 0.5
        good = good and abs(off) <= BAR + luck
        words.append(f"{key} {predicted[key] * 100:.2f}%/{kept / offered * 100:.2f}% ({off * 100:+.1f}%)")
    print(f"{'ok' if good else 'FAILED'} {name}: predicted/real {', '.join(words)}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=6000)
    parser.add_argument("--recent", default="8MiB")
    args = parser.parse_args()
    options = {"rate": args.rate, "spans": 60, "pool": 512, "connections": 2}
    passed = 0
    with scratch() as folder:
        sink = Sink()
        recorded = Subject(folder, "recorded", config(NOW, "", args.recent), sink)
        clients = Load(recorded.relay.grpc, {**options, "seconds": args.seconds + 20})
        time.sleep(args.seconds)
        plans = {name: planned(folder, recorded, config(*t, args.recent)) for name, t in TRIES.items()}
        offered, kept = recorded.account()["all"]
        clients.result()
        recorded.stop()
        first = plans["another share"][0]
        print(f"recorded: {first['recorded_traces']} traces, {first['recorded_share'] * 100:.1f} % of all, "
              f"{first['covered_seconds']:.0f} s; now kept {kept / offered * 100:.2f} %, "
              f"said {first['now']['kept_share'] * 100:.2f} %", flush=True)
        for i, (name, (rules, budgets)) in enumerate(TRIES.items()):
            subject = Subject(folder, f"try-{i}", config(rules, budgets, "0"), sink)
            real = subject.run({**options, "seed": 1}, args.seconds, args.seconds / 3)
            subject.stop()
            passed += compare(f"{name} (planned in {plans[name][2]:.1f} s)", plans[name][1], real)
    failed = len(TRIES) - passed
    print(f"plan-truth: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
