# SPDX-License-Identifier: Apache-2.0
"""What every measurement needs: a sink, loads, what the kernel says of a process, and the page that
the figures go to."""
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
os.environ.setdefault("SPANRELAY", os.path.join(BUILD, "spanrelay"))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from relay import BINARY, Relay  # noqa: E402
from table import spread  # noqa: E402, F401  for those who make their own tables

PAGE = os.path.join(ROOT, "docs/benchmarks.md")
TICKS = os.sysconf("SC_CLK_TCK")
QUICK = "quick" in sys.argv
REPS = 2 if QUICK else 5
SCALE = 0.3 if QUICK else 1
running = []  # has stop(), which may be called twice


@contextlib.contextmanager
def scratch():
    """A folder on a disk, not in memory as /tmp may be. At the end, also at one by SIGTERM,
    everything that was started is stopped, and the folder goes."""
    def on_sigterm(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, on_sigterm)
    folder = tempfile.mkdtemp(prefix="spanrelay-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp"))
    try:
        yield folder
    finally:
        while running:
            running.pop().stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port():
    """Where nobody listens, for now."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def program(name):
    return os.path.join(BUILD, "bench", name)


class Sink:
    """A backend; counts() is what it has got since it began."""

    def __init__(self, *args):
        self.process = subprocess.Popen([program("sink"), *args], stdout=subprocess.PIPE, text=True)
        running.append(self)
        self.port = int(self.process.stdout.readline().split()[1])

    def counts(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Load:
    """Clients; result() is their account."""

    def __init__(self, port, options):
        args = [program("load"), "--port", str(port)]
        for name, value in options.items():
            args += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        self.options = options
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        running.append(self)

    def is_over(self):
        return self.process.poll() is not None

    def result(self):
        """Every request must have been accepted, or the figures mean nothing."""
        text, _ = self.process.communicate()
        running.remove(self)
        result = json.loads(text) if text else {"answers": None, "requests": 0}
        if self.process.returncode != 0 or result["answers"] != {"0": result["requests"]}:
            raise SystemExit(f"load {self.options}: exit {self.process.returncode}, "
                             f"answers {result['answers']} of {result['requests']}")
        return result

    def stop(self):
        self.process.kill()
        self.process.wait()


def load(port, **options):
    return Load(port, options).result()


def cpu_s(pids):
    """User and system time."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def anonymous_mib(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
            found = re.search(r"RssAnon:\s+(\d+)", f.read())
            total += int(found.group(1)) if found else 0  # one that has ended has none
    return total / 1024


def family(pid):
    """The process and all that come from it."""
    pids, children = [pid], []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            children += f.read().split()
    for child in children:
        with contextlib.suppress(OSError):  # it has ended
            pids += family(int(child))
    return pids


class Subject:
    """The relay under measurement: keeper and worker. `exporter` and `extra` are more YAML, of the
    exporter and of everything."""

    def __init__(self, folder, sink_port, compression, limit="1GiB", args=(), exporter="", extra="",
                 binary=BINARY, wait=True, scheme="http", **relay):
        item = (f'{{ name: sink, protocol: grpc, endpoint: "{scheme}://127.0.0.1:{sink_port}", '
                f"compression: {compression}{exporter and ', ' + exporter} }}")
        os.makedirs(folder, exist_ok=True)
        self.relay = Relay(folder, [item], f"journal: {{ limit: {limit} }}\n{extra}", args=args,
                           binary=binary, wait=False, **relay)
        running.append(self)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        self.relay.wait_ready()
        self.port, self.http = self.relay.grpc, self.relay.http
        self.pids = [self.relay.process.pid, self.relay.worker_pid()]

    def exporter(self):
        return self.relay.status()["exporters"][0]

    def drained(self):
        status = self.relay.status()
        return status["exporters"][0]["buffered"] == 0 and status["ledger"].get("pending", 0) == 0

    def wait_drained(self, seconds=120):
        self.relay.wait_until(self.drained, seconds)

    def stop(self):
        if self.relay.process.poll() is None:
            self.relay.stop()


def measure(subject, **options):
    """ns of CPU a span, from the first request until everything was handed on; and the load's own
    account, with the rate at which spans went all the way."""
    before, start = cpu_s(subject.pids), time.monotonic()
    result = load(subject.port, **options)
    subject.wait_drained()
    seconds = time.monotonic() - start
    result["through_per_s"] = result["spans"] / seconds
    result["cpu_ns"] = (cpu_s(subject.pids) - before) * 1e9 / result["spans"]
    return result


class Peak:
    """The largest anonymous RSS while something goes on."""

    def __init__(self, pids):
        self.pids, self.peak = pids, 0

    def look(self):
        self.peak = max(self.peak, anonymous_mib(self.pids))

    def load(self, port, **options):
        clients = Load(port, options)
        while not clients.is_over():
            self.look()
            time.sleep(0.05)
        return self.peak, clients.result()


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1))
    with open("/etc/os-release") as f:
        system = re.search(r'PRETTY_NAME="(.*)"', f.read()).group(1)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
                            stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    packages = subprocess.run(["pkg-config", "--modversion", "libnghttp2", "libzstd", "libdeflate",
                               "libisal"],
                              stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    compiler = subprocess.run(["gcc", "--version"], stdout=subprocess.PIPE, text=True,
                              check=False).stdout.splitlines()[0]
    return (f"{datetime.date.today()}; {os.cpu_count()} CPUs ({model.group(1) if model else '?'}), "
            f"{memory / 1048576:.0f} GiB, {system}, Linux {platform.release().split('-')[0]}; "
            f"{compiler}; nghttp2 {packages[0]}, zstd {packages[1]}, libdeflate {packages[2]}, "
            f"ISA-L {packages[3]}; "
            f"spanrelay at {commit}; load average {os.getloadavg()[0]:.1f}.")


def write_section(name, text):
    """Replaces what stands between the page's two marks of this name."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    with open(PAGE) as f:
        page = f.read()
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    with open(PAGE, "w") as f:
        f.write(f"{head}{begin}\n{text}\n{end}{tail}")
