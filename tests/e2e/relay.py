# SPDX-License-Identifier: Apache-2.0
"""Starts the real program for a test, with ports of its own, and reads what it says."""
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

BINARY = os.environ.get("SPANRELAY", os.path.join(os.path.dirname(__file__), "../../build/spanrelay"))


def is_sanitized():
    """Sanitizers have memory of their own."""
    with open(BINARY, "rb") as f:
        return re.search(rb"__[at]san_init", f.read()) is not None


class Relay:
    def __init__(
        self,
        folder,
        exporters,
        extra="",
        name="relay",
        wait=True,
        args=(),
        env=None,
        prefix=(),
        binary=BINARY,
        grpc_tls="",
        http_tls="",
    ):
        """`exporters`: YAML list items; `extra`: more YAML; `prefix`: a command that becomes the relay;
        `grpc_tls`, `http_tls`: what stands in the `tls: {}` of a receiver."""
        self.folder = folder
        self.log_path = os.path.join(folder, name + ".log")
        self.config = os.path.join(folder, name + ".yaml")
        self.data = os.path.join(folder, "data")
        if "journal:" not in extra:
            extra += "\njournal: { limit: 64MiB }"
        if "redaction:" not in extra:
            extra += "\nredaction: { packs: [] }"  # to compile the rules takes half a second
        items = "".join(f"  - {e}\n" for e in exporters)
        grpc_tls, http_tls = (f", tls: {{ {t} }}" if t else "" for t in (grpc_tls, http_tls))
        with open(self.config, "w") as f:
            f.write(
                f"data_dir: {self.data}\nreceivers:\n  otlp_grpc: {{ listen: 127.0.0.1:0{grpc_tls} }}\n"
                f"  otlp_http: {{ listen: 127.0.0.1:0{http_tls} }}\nadmin: {{ listen: 127.0.0.1:0 }}\n{extra}\n"
                f"exporters:\n{items}"
            )
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*prefix, binary, "run", "-c", self.config, *args], stdout=subprocess.DEVNULL, stderr=self.log, env=env
        )
        if wait:
            self.wait_ready()

    def text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_for(self, pattern, count=1, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.findall(pattern, self.text())
            if len(found) >= count:
                return found
            if self.process.poll() is not None and len(re.findall(pattern, self.text())) < count:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {count} x {pattern!r} in:\n{self.text()[-3000:]}")

    def wait_ready(self, count=1):
        self.wait_for(r'msg="ready"', count)
        ports = dict(re.findall(r"listener=(\w+) address=127.0.0.1:(\d+)", self.text()))
        self.grpc, self.http, self.admin = (int(ports[k]) for k in ("grpc", "http", "admin"))

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def status(self):
        return json.loads(self.get("/status")[1])

    def metric(self, name):
        """The value of one sample, labels and all."""
        for line in self.get("/metrics")[1].splitlines():
            if line.rsplit(" ", 1)[0] == name:
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def exporter(self, name="main"):
        return next(e for e in self.status()["exporters"] if e["name"] == name)

    def files(self, place, exporter="main", data=None):
        """The files of a box."""
        folder = os.path.join(data or self.data, place, exporter)
        return sorted(f for f in os.listdir(folder) if f.endswith(".mdb")) if os.path.isdir(folder) else []

    def worker_pid(self):
        return self.status()["worker_pid"]

    def wait_until(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError("timed out; log:\n" + self.text()[-3000:])

    def kill(self):
        """Keeper and worker at once, as the OOM killer or a power cut would."""
        worker = self.worker_pid()
        os.kill(self.process.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.log.close()
        return code


def check_ledger(status):
    """received = accepted + rejected, and each exporter's part adds up."""
    ledger = status["ledger"]
    assert ledger["received"] == ledger["accepted"] + ledger["rejected"], ledger
    assert ledger["accepted"] == ledger["pending"] + sum(ledger["judged"].values()), ledger
    for e in status["exporters"]:
        done = e["sent"] + e["backend_rejected"] + sum(e["dropped"].values())
        assert e["buffered"] == e["journal"] + e["outbox"], e
        assert e["entered"] == done + e["buffered"] + e["quarantine"], e
