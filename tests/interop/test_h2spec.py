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


@pytest.mark.parametrize("port", ["grpc", "http"])
def test_h2spec(start, figure, tmp_path, port):
    relay = start()
    report = str(tmp_path / "report.xml")
    done = subprocess.run([programs.go_tool("h2spec"), "-h", "127.0.0.1", "-p", str(getattr(relay, port)), "-P", "/healthz",
                           "-j", report], text=True, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    cases = list(xml.parse(report).iter("testcase"))
    failed = {c.get("classname") for c in cases if c.find("failure") is not None or c.find("error") is not None}
    skipped = [c for c in cases if c.find("skipped") is not None]
    assert len(cases) == 145 and failed == EXPLAINED, done.stdout[-5000:]
    passed = len(cases) - len(failed) - len(skipped)
    figure("h2spec", f"{port} port", f"{passed} of {len(cases)}", f"{len(failed)} explained, {len(skipped)} skipped by it")
