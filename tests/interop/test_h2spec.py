# SPDX-License-Identifier: Apache-2.0
"""h2spec against both ports: whatever fails is explained in docs/conformance.md."""
import subprocess
import xml.etree.ElementTree as xml

import pytest

import programs

EXPLAINED = {
    "Sends invalid connection preface",  # is answered as HTTP/1.1, in HTTP/1.1, and closed
    "Sends stream identifier that is numerically smaller than previous",  # nghttp2 ignores it on purpose
}
NEEDS_FIVE_BYTES = "Sends a SETTINGS frame for window size to be negative"  # "ok\n" has three


def h2spec(port, path, report, *cases):
    done = subprocess.run([programs.go_tool("h2spec"), "-h", "127.0.0.1", "-p", str(port), "-P", path, "-j", report, *cases],
                          text=True, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = list(xml.parse(report).iter("testcase"))
    failed = {c.get("classname") for c in found if c.find("failure") is not None or c.find("error") is not None}
    skipped = {c.get("classname") for c in found if c.find("skipped") is not None}
    return len(found), failed, skipped, done.stdout[-5000:]


@pytest.mark.parametrize("port", ["grpc", "http"])
def test_h2spec(start, figure, tmp_path, port):
    relay = start()
    report = str(tmp_path / "report.xml")
    cases, failed, skipped, said = h2spec(getattr(relay, port), "/healthz", report)
    assert cases == 145 and failed == EXPLAINED, said
    assert skipped == {NEEDS_FIVE_BYTES}
    figure("h2spec", f"{port} port", f"{cases - len(failed) - len(skipped)} of {cases}", f"{len(failed)} explained, 1 skipped by it")


def test_what_h2spec_skips_for_a_short_answer(start, tmp_path):
    """The words of a 404 are long enough for it."""
    cases, failed, skipped, said = h2spec(start().http, "/nowhere", str(tmp_path / "report.xml"), "http2/6.9.2")
    assert (cases, failed, skipped) == (3, set(), set()), said
