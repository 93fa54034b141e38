# SPDX-License-Identifier: Apache-2.0
"""A backend that is away: what it costs to put spans into the outbox, to get them out again, and to
start with ten GiB of them."""
import os
import shutil
import statistics
import time

from rig import REPS, SCALE, Peak, Sink, Subject, cpu_s, family, free_port, load

PLAIN = {"spans": 300, "connections": 4, "streams": 4}
RETRY = "retry: { initial: 100ms, max: 500ms }"
OUTBOX = "outbox: { limit: 20GiB }"
MIB, GIB = 1 << 20, 1 << 30
BACKLOG = 10 * GIB


def away(folder, compression, limit, port):
    return Subject(folder, port, compression, limit, exporter=RETRY, extra=OUTBOX)


def wait_settled(subject, seconds=120):
    """Until the outbox has taken what it takes for now. Looks seldom, for each look costs CPU."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = subject.exporter()
        if not now["spilling"] and now["spilled_spans"] == last:
            return last
        last = now["spilled_spans"]
    raise SystemExit(f"the outbox does not take it: {subject.relay.text()[-2000:]}")


def receive_us(subject, port, requests):
    """CPU a span that goes into the journal and stays there, until the journal is emptied again."""
    before = cpu_s(subject.pids)
    spans = load(subject.port, **PLAIN, requests=requests)["spans"]
    time.sleep(0.1)
    took = (cpu_s(subject.pids) - before) * 1e6 / spans
    sink = Sink("--port", str(port))
    subject.wait_drained()
    sink.stop()
    return took


def spill_us(subject, requests, received_us):
    """CPU a span that goes into the outbox, without what it takes to receive it."""
    before, spilled = cpu_s(subject.pids), subject.exporter()["spilled_spans"]
    spans = load(subject.port, **PLAIN, requests=requests)["spans"]
    spilled = wait_settled(subject) - spilled
    return ((cpu_s(subject.pids) - before) * 1e6 - received_us * spans) / spilled


def bare_us(folder, span_bytes):
    """CPU a span of nothing but writing such bytes into new files of 64 MiB, 4 MiB to a sync, and giving
    back their memory, as an outbox does."""
    data, files, begin = os.urandom(MIB), int(8 * SCALE), sum(os.times()[:2])
    for n in range(files):
        fd = os.open(f"{folder}/bare{n}", os.O_CREAT | os.O_WRONLY)
        for at in range(64):
            if at % 4 == 0 and at != 0:
                os.posix_fadvise(fd, (at - 4) * MIB, 4 * MIB, os.POSIX_FADV_DONTNEED)
            os.pwrite(fd, data, at * MIB)
            if at % 4 == 3:
                os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    took = sum(os.times()[:2]) - begin
    for n in range(files):
        os.unlink(f"{folder}/bare{n}")
    return took * 1e6 * span_bytes / (files * 64 * MIB)


def spilling(folder, table):
    """By turns: a relay whose journal is large enough to keep all, and two that spill. Nothing is sent
    by any of them meanwhile."""
    port, other, requests = free_port(), free_port(), int(2500 * SCALE)
    keep = away(f"{folder}/keep", "none", "4GiB", other)
    spill = {c: away(f"{folder}/spill-{c}", c, "1GiB", port) for c in ("gzip", "none")}
    received, bare, spilled = [], [], {"gzip": [], "none": []}
    receive_us(keep, other, requests)  # its file does not grow any more
    for subject in spill.values():  # as much as it keeps in the journal, and more
        span_bytes = load(subject.port, **PLAIN, requests=2000)["plain_bytes_per_span"]
        wait_settled(subject)
    for _ in range(REPS):
        received.append(receive_us(keep, other, requests))
        for compression, subject in spill.items():
            spilled[compression].append(spill_us(subject, requests, received[-1]))
        bare.append(bare_us(folder, span_bytes))
    table.row("CPU, spilling, gzip, beyond receiving", "µs/span", spilled["gzip"], 2.6, 2.3)
    table.row("CPU, spilling, uncompressed, beyond receiving", "µs/span", spilled["none"], 0.5, 0.4)
    table.row("CPU, bare write + fdatasync of the same bytes, uncompressed", "µs/span", bare)
    table.note(f"- receiving alone, into a journal that keeps all: {statistics.median(received):.2f} "
               "µs/span, which is taken off the two rows of spilling.")
    for subject in (keep, *spill.values()):
        subject.stop()
        shutil.rmtree(subject.relay.folder)


def fill(subject, enough, requests):
    """Into the outbox, in pieces that the journal has room for whatever the outbox does."""
    while not enough():
        load(subject.port, **PLAIN, requests=requests)
        wait_settled(subject)


def drain(subject, port, spans):
    """MB of uncompressed spans a second of CPU, and of time; and MB on the wire."""
    fill(subject, lambda: subject.exporter()["spilled_spans"] >= spans, 200)
    before, body = cpu_s(subject.pids), subject.exporter()["body_bytes"]
    sink, start = Sink("--port", str(port)), time.monotonic()
    while not subject.drained():
        time.sleep(0.05)
    cpu, seconds = cpu_s(subject.pids) - before, time.monotonic() - start
    wire = sink.counts()["bytes"] / 1e6
    sink.stop()
    body = (subject.exporter()["body_bytes"] - body) / 1e6
    return body / cpu, body / seconds, wire


def draining(folder, table):
    """The journal is small, so that next to nothing waits there and is sent the other way."""
    for compression in ("gzip", "none"):
        got = []
        for rep in range(REPS):
            port, place = free_port(), f"{folder}/drain-{compression}{rep}"
            subject = away(place, compression, "64MiB", port)
            got.append(drain(subject, port, int(1200000 * SCALE)))
            subject.stop()
            shutil.rmtree(place)
        name = "gzip" if compression == "gzip" else "uncompressed"
        table.row(f"draining, {name}, for a CPU second", "MB", [g[0] for g in got], 200, 400,
                  least=True, digits=0)
        table.note(f"- draining, {name}: {statistics.median(g[1] for g in got):.0f} MB/s of spans, "
                   f"{statistics.median(g[2] for g in got):.0f} MB on the wire in all.")


def outage(folder, table):
    spilling(folder, table)
    draining(folder, table)


# ---- starting ----

def ready_ms(folder, port, limit="1GiB", peak_of=None):
    """From the start of the keeper to the worker's word; `peak_of` gets the memory of all processes
    meanwhile, in MiB."""
    begin = time.monotonic()
    subject = Subject(folder, port, "none", limit, exporter=RETRY, extra=OUTBOX, wait=False)
    peak = Peak([])
    while b'msg="ready"' not in open(subject.relay.log_path, "rb").read():
        if subject.relay.process.poll() is not None or time.monotonic() - begin > 30:
            raise SystemExit(f"no start: {subject.relay.text()}")
        if peak_of is not None:
            peak.pids = family(subject.relay.process.pid)
            peak.look()
        time.sleep(0.0005)
    took = (time.monotonic() - begin) * 1000
    subject.wait_ready()
    if peak_of is not None:
        peak_of.append(peak.peak)
    return took, subject


def forget_cached(data):
    """So that the next start reads from the disk; and without the log of the last one."""
    for place, _, names in os.walk(data):
        for name in names:
            fd = os.open(os.path.join(place, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
    os.unlink(os.path.join(os.path.dirname(data), "relay.log"))


def watch(subject, seconds, until=lambda: False):
    peak, end = Peak(subject.pids), time.monotonic() + seconds
    while time.monotonic() < end and not until():
        peak.look()
        time.sleep(0.1)
    return peak.peak


def backlog(folder, table):
    """Ten GiB in the outbox, uncompressed: starts with it that have to read from the disk, memory, and
    how it goes when the backend is back."""
    place, port, size = f"{folder}/backlog", free_port(), int(BACKLOG * SCALE)
    subject = away(place, "none", "1GiB", port)
    begin = time.monotonic()
    fill(subject, lambda: subject.exporter()["outbox_bytes"] >= size, 2000)
    table.note(f"- {subject.exporter()['outbox_bytes'] / GIB:.1f} GiB in the outbox, "
               f"{subject.exporter()['outbox']} spans, after {time.monotonic() - begin:.0f} s.")
    took, starting, waiting = [], [], []
    for _ in range(REPS):
        subject.stop()
        forget_cached(f"{place}/data")
        ms, subject = ready_ms(place, port, peak_of=starting)
        took.append(ms)
        waiting.append(watch(subject, 2))
    table.row(f"start to ready, {size / GIB:g} GiB in the outbox, not in the page cache", "ms", took,
              3000, 1000, digits=0)
    table.row("anonymous RSS, that start, with all children", "MiB", starting, 32, 16)
    table.row("anonymous RSS, the backend away", "MiB", waiting, 32, 16)
    drain_all(subject, port, table)
    shutil.rmtree(place)


def drain_all(subject, port, table):
    spans, before, begin = subject.exporter()["buffered"], cpu_s(subject.pids), time.monotonic()
    body, sink = subject.exporter()["body_bytes"], Sink("--port", str(port))
    peak = watch(subject, 600, subject.drained)
    seconds, cpu = time.monotonic() - begin, cpu_s(subject.pids) - before
    body = (subject.exporter()["body_bytes"] - body) / 1e6
    sent = sink.counts()["spans"]
    if sent < spans:
        raise SystemExit(f"{sent} of {spans} spans arrived")
    table.row("anonymous RSS, draining it", "MiB", [peak], 32, 16)
    table.note(f"- It drained in {seconds:.0f} s: {body / seconds:.0f} MB/s, {body / cpu:.0f} MB for a "
               "CPU second.")
    subject.stop()
    sink.stop()
