# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 in and out, beside plain text in and out; and the cipher by itself, which is most of it."""
import re
import shutil
import statistics
import subprocess

import certs
from redaction import more
from rig import REPS, SCALE, Sink, Subject, measure

REQUESTS = {"spans": 300, "connections": 4, "streams": 4}
BODIES = (("plain", "none", {"requests": 2500}), ("gzip", "gzip", {"requests": 1200, "gzip": True}))


def cipher_bytes_per_ns():
    """What OpenSSL does on this machine, a record at a time."""
    run = subprocess.run("openssl speed -seconds 1 -bytes 16384 -evp aes-128-gcm".split(), capture_output=True, text=True,
                         check=True)
    return float(re.search(r"([\d.]+)k\s*$", run.stdout).group(1)) * 1000 / 1e9


def compare(table, pair, ca, what, options):
    """Turn by turn; the first round is to warm up."""
    results = {s: [] for s in pair}
    for rep in range(-1, REPS):
        for s in pair if rep % 2 else pair[::-1]:
            asked = {**REQUESTS, **options, "requests": int(options["requests"] * (SCALE if rep >= 0 else 0.2))}
            if s is pair[1]:
                asked["tls"] = ca.cert
            got = measure(s, **asked)
            if rep >= 0:
                results[s].append(got)
    plain, secure = ([r["cpu_ns"] / 1000 for r in results[s]] for s in pair)
    table.row(f"TLS 1.3 in and out, {what} bodies, more than without", "ns/span", more(secure, plain), 350, 250, digits=0)
    table.row(f"CPU, 300-span requests, {what} bodies, TLS in, TLS out", "µs/span", secure)
    table.row(f"CPU, 300-span requests, {what} bodies, without", "µs/span", plain)
    return statistics.median(r["bytes"] / r["spans"] for r in results[pair[0]])


def tls(folder, table):
    ca = certs.Authority(folder)
    cert, key = ca.sign("leaf")
    files = f"cert_file: {cert}, key_file: {key}, min_version: 1.3"
    sinks = [Sink(), Sink("--cert", cert, "--key", key)]
    speed = cipher_bytes_per_ns()
    for what, compression, options in BODIES:
        pair = [Subject(f"{folder}/{what}-off", sinks[0].port, compression),
                Subject(f"{folder}/{what}-on", sinks[1].port, compression, scheme="https", grpc_tls=files,
                        exporter=f"tls: {{ ca_file: {ca.cert}, min_version: 1.3 }}")]
        size = compare(table, pair, ca, what, options)
        table.note(f"- {what} bodies: {size:.0f} bytes a span each way; AES-128-GCM alone, at {speed:.1f} GB/s "
                   f"(`openssl speed`), takes {2 * size / speed:.0f} ns of that.")
        for s in pair:
            s.stop()
            shutil.rmtree(s.relay.folder)
    for s in sinks:
        s.stop()
