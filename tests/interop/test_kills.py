# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the worker under load, with clients for which a refused connection is final (otlp-wire I1)."""
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import otlp
import programs
from relay import check_ledger
from test_servers import Caddy

KILLS = 20
CALLERS = 4  # of the Go program, each with one request in flight


def kill_worker(relay, times):
    for n in range(times):
        time.sleep(random.uniform(0.3, 0.7))
        os.kill(relay.worker_pid(), signal.SIGKILL)
        relay.wait_ready(n + 2)


def names(spans):
    return [v.decode() for _, _, s in spans for n, v in otlp.fields(s) if n == 5]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_go_exporter_is_never_refused(start, backend, figure, protocol):
    program, relay = programs.go_program("go"), start()
    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{getattr(relay, protocol)}"}
    client = subprocess.Popen([program, protocol, "load", "18"], env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    said = []
    reader = threading.Thread(target=lambda: said.append(client.stdout.read()))
    reader.start()
    kill_worker(relay, KILLS)
    assert client.wait(60) == 0
    reader.join()
    acked = [f"{batch}.{s}" for batch in re.findall(r"^ok (\S+)$", said[0], re.M) for s in range(10)]
    failed = re.findall(r"^failed (\d+) (.*)$", said[0], re.M)
    relay.wait_until(lambda: relay.status()["exporters"][0]["buffered"] == 0)
    arrived = names(backend.spans())
    lost = set(acked) - set(arrived)
    cut = sum(int(n) for n, _ in failed)
    assert "connection refused" not in said[0], failed
    assert len(acked) > 5000 and not lost
    assert cut <= KILLS * CALLERS, failed
    check_ledger(relay.status())
    figure(f"Go SDK, {KILLS} kills of the worker", protocol, len(acked),
           f"0 refused, 0 acked lost, {cut} of {cut + len(acked) // 10} requests reported as failed, "
           f"{len(arrived) - len(set(arrived))} duplicates")


def test_caddy_is_never_refused(start, backend, figure, tmp_path):
    relay = start()
    caddy = Caddy(str(tmp_path), f"http://127.0.0.1:{relay.http}", None)
    done, count = threading.Event(), [0]

    def load():
        while not done.is_set():
            caddy.get(20)
            count[0] += 20
            time.sleep(0.02)

    thread = threading.Thread(target=load)
    thread.start()
    kill_worker(relay, KILLS)
    done.set()
    thread.join()
    caddy.stop()
    relay.wait_until(lambda: relay.status()["exporters"][0]["buffered"] == 0)
    failed = [line for line in caddy.text().splitlines() if "traces export" in line]
    arrived = len({s[2] for s in backend.spans()})
    assert "connection refused" not in caddy.text(), failed
    assert len(failed) <= KILLS
    assert arrived <= count[0] and (failed or arrived == count[0])
    check_ledger(relay.status())
    figure(f"Caddy, {KILLS} kills of the worker", "http", arrived,
           f"0 refused, {len(failed)} exports reported as failed, {count[0] - arrived} of {count[0]} spans in them")
