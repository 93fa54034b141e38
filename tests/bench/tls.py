# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 in and out, beside plain text in and out."""
import shutil

import certs
from redaction import more
from rig import Sink, Subject, measure, REPS, SCALE

REQUESTS = {"spans": 300, "connections": 4, "streams": 4, "requests": 2500}


def tls(folder, table):
    ca = certs.Authority(folder)
    cert, key = ca.sign("leaf")
    files = f"cert_file: {cert}, key_file: {key}, min_version: 1.3"
    sinks = [Sink(), Sink("--cert", cert, "--key", key)]
    plain = Subject(f"{folder}/tls-off", sinks[0].port, "none")
    secure = Subject(f"{folder}/tls-on", sinks[1].port, "none", scheme="https", grpc_tls=files,
                     exporter=f"tls: {{ ca_file: {ca.cert}, min_version: 1.3 }}")
    results = {plain: [], secure: []}
    for rep in range(-1, REPS):  # the first is to warm up
        requests = int(REQUESTS["requests"] * (SCALE if rep >= 0 else 0.2))
        for s in (plain, secure) if rep % 2 else (secure, plain):
            options = {**REQUESTS, "requests": requests, **({"tls": ca.cert} if s is secure else {})}
            got = measure(s, **options)["cpu_ns"] / 1000
            if rep >= 0:
                results[s].append(got)
    table.row("TLS 1.3 in and out, more than plain text", "ns/span", more(results[secure], results[plain]), 350, 250,
              digits=0)
    table.row("CPU, 300-span requests, TLS in, TLS out", "µs/span", results[secure])
    table.row("CPU, 300-span requests, plain text", "µs/span", results[plain])
    for s in (plain, secure):
        s.stop()
        shutil.rmtree(s.relay.folder)
    for s in sinks:
        s.stop()
