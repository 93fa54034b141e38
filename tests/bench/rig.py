# SPDX-License-Identifier: Apache-2.0
"""What every measurement needs: a sink, loads, what the kernel says of a process, and the page that
the figures go to."""
import atexit
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
os.environ.setdefault("SPANRELAY", os.path.join(BUILD, "spanrelay"))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from relay import Relay  # noqa: E402

PAGE = os.path.join(ROOT, "docs/benchmarks.md")
TICKS = os.sysconf("SC_CLK_TCK")


def program(name):
    return os.path.join(BUILD, "bench", name)


class Sink:
    """A backend; counts() is what it has got since it began."""

    def __init__(self, *args):
        atexit.register(self.stop)
        self.process = subprocess.Popen([program("sink"), *args], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def counts(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_load(port, options):
    args = [program("load"), "--port", str(port)]
    for name, value in options.items():
        args += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return subprocess.Popen(args, stdout=subprocess.PIPE, text=True)


def load_result(process, options):
    """Every request must have been accepted, or the figures mean nothing."""
    text, _ = process.communicate()
    result = json.loads(text) if text else {"answers": None, "requests": 0}
    if process.returncode != 0 or result["answers"] != {"0": result["requests"]}:
        raise SystemExit(f"load {options}: exit {process.returncode}, "
                         f"answers {result['answers']} of {result['requests']}")
    return result


def load(port, **options):
    return load_result(start_load(port, options), options)


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
        with open(f"/proc/{pid}/status") as f:
            total += int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))
    return total / 1024


class Subject:
    """The relay under measurement: keeper and worker."""

    def __init__(self, folder, sink_port, compression, limit="1GiB", args=()):
        exporter = (f'{{ name: sink, protocol: grpc, endpoint: "http://127.0.0.1:{sink_port}", '
                    f"compression: {compression} }}")
        os.makedirs(folder, exist_ok=True)
        atexit.register(self.stop)
        self.relay = Relay(folder, [exporter], f"journal: {{ limit: {limit} }}", args=args)
        self.port, self.http = self.relay.grpc, self.relay.http
        self.pids = [self.relay.process.pid, self.relay.worker_pid()]

    def drained(self):
        return self.relay.status()["exporters"][0]["buffered"] == 0

    def wait_drained(self):
        self.relay.wait_until(self.drained, 120)

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
    """The largest anonymous RSS while a load runs."""

    def __init__(self, pids):
        self.pids, self.peak = pids, 0

    def load(self, port, **options):
        process = start_load(port, options)
        while process.poll() is None:
            self.peak = max(self.peak, anonymous_mib(self.pids))
            time.sleep(0.05)
        return self.peak, load_result(process, options)


def spread(values, digits=2):
    """median (lowest to highest)"""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


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
