# SPDX-License-Identifier: Apache-2.0
"""Secrets: what it costs to look for them, in the whole path."""
import shutil

from rig import Sink, Subject
from sampling import by_turns, rules

SECRETS = {"spans": 300, "connections": 4, "streams": 4, "secrets": True, "requests": 2500}
DEFAULTS = "redaction: { mask: keep_length }\n"
ALL = ("redaction: { packs: [secrets, secrets-context, url, headers, keys, pii-card, pii-iban, pii-email, "
       "pii-ipv4, pii-ssn] }\n")


def more(a, b):
    """What a takes more than b, turn by turn, in ns."""
    return [(x - y) * 1000 for x, y in zip(a, b)]


def redaction(folder, table):
    sink = Sink()
    subjects = [Subject(f"{folder}/redact{i}", sink.port, "none", extra=extra)
                for i, extra in enumerate(("", DEFAULTS, ALL, rules() + DEFAULTS))]
    bare, default, everything, judged = by_turns(table, subjects, SECRETS)
    table.row("redaction, default packs", "ns/span", more(default, bare), 600, 400, digits=0)
    table.row("redaction, with all PII packs", "ns/span", more(everything, bare), 900, 600, digits=0)
    table.row("CPU, redact, journal, keep a tenth by 10 rules, plain in, plain out", "µs/span", judged, 2.2, 1.6)
    table.row("CPU, without redaction and judgement", "µs/span", bare)
    for s in subjects:
        s.stop()
        shutil.rmtree(s.relay.folder)
    sink.stop()
