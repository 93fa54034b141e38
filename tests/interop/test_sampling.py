# SPDX-License-Identifier: Apache-2.0
"""Rules on traces that we did not make: Caddy in front of a Python service that asks one in JavaScript, each with
its own SDK and exporter, and none of them knows what is sampled."""
import collections
import http.client
import math
import os
import random
import re
import socket
import subprocess
import time

import otlp
import programs
from checks import free_port
from relay import BINARY, check_ledger
from test_servers import Caddy

RULES = """
sampling:
  wait: 8s
  root_wait: 1500ms
  rules:
    - { name: errors, when: "any(span.error)", keep: 100% }
    - { name: slow, when: "trace.duration > 350ms", keep: 100% }
    - { name: rest, keep: 20% }
"""
THRESHOLD = 0xCCCD0000000000  # of 20 %, with four digits
REQUESTS, SPANS = 1500, 4  # the edge, the shop and its call, the stock


class Service:
    def __init__(self, command, port, endpoint, *args):
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env.update(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        self.process = subprocess.Popen([*command, str(port), *map(str, args)], env=env, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        said, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, said


def make_requests(port):
    """{trace id: what was asked}"""
    asked, conn = {}, http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for i in range(REQUESTS):
        what = random.choices(["fail", "slow", "buy"], [5, 2, 93])[0]
        conn.request("GET", f"/{what}/{i}")
        answer = conn.getresponse()
        answer.read()
        assert answer.status == (500 if what == "fail" else 200)
        asked[bytes.fromhex(answer.headers["X-Trace-Id"])] = what
    conn.close()
    return asked


def explain(relay, trace_id):
    done = subprocess.run([BINARY, "explain", trace_id.hex(), "--admin", f"127.0.0.1:{relay.admin}"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done
    return dict(re.findall(r"^(verdict|rule|had) +(.*)$", done.stdout, re.M))


def run_shop(relay, folder):
    stock_port, shop_port = free_port(), free_port()
    stock = Service(programs.javascript("shop_js", "stock.js"), stock_port, f"http://127.0.0.1:{relay.http}")
    shop = Service(programs.python("shop_py", "shop.py"), shop_port, f"http://127.0.0.1:{relay.grpc}", stock_port)
    caddy = Caddy(folder, f"http://127.0.0.1:{relay.http}", None, f"127.0.0.1:{shop_port}")
    try:
        return make_requests(caddy.port)
    finally:
        for service in (caddy, shop, stock):
            service.stop()


def test_a_shop_behind_caddy_is_judged_by_whole_traces(start, backend, figure, tmp_path):
    relay = start(extra=RULES)
    asked = run_shop(relay, str(tmp_path))
    relay.wait_until(lambda: relay.status()["ledger"]["pending"] == 0, 20)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    status = relay.status()
    check_ledger(status)
    got = collections.defaultdict(list)
    for _, _, span in backend.spans():
        got[dict(otlp.fields(span))[1]].append(span)
    assert set(got) <= set(asked) and len(asked) == REQUESTS
    assert all(len(spans) == SPANS for spans in got.values()), collections.Counter(map(len, got.values()))
    for trace_id, what in asked.items():
        stays = what != "buy" or int.from_bytes(trace_id[9:], "big") >= THRESHOLD
        if what == "buy" and status["sampling"]["rules"][1]["matched"] > list(asked.values()).count("slow"):
            continue  # a slow machine: some that were not to be slow were
        assert (trace_id in got) == stays, (trace_id.hex(), what)
    rest = [t for t, what in asked.items() if what == "buy"]
    kept = sum(t in got for t in rest)
    assert abs(kept - 0.2 * len(rest)) < 4 * math.sqrt(len(rest) * 0.2 * 0.8), (kept, len(rest))
    said = {what: explain(relay, next(t for t in asked if asked[t] == what)) for what in ("fail", "slow", "buy")}
    assert said["fail"]["rule"] == "errors" and said["fail"]["verdict"] == "kept"
    assert said["slow"]["rule"] == "slow" and said["slow"]["verdict"] == "kept"
    assert said["buy"]["rule"] in ("rest", "slow") and "4 spans" in said["buy"]["had"]
    wrong = sum(what == "fail" for what in asked.values())
    figure("Caddy, Python, JavaScript", "http, grpc", REQUESTS * SPANS,
           f"{wrong} of {wrong} failed requests kept whole, {kept} of {len(rest)} others at 20 %")
