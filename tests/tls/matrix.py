#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the listeners agree to, asked by `openssl s_client`: versions, ciphers, ALPN, certificates of clients. Prints the
table; --write puts it into docs/tls.md. Exit code 1: something is not as it has to be, or the page says otherwise."""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
import certs  # noqa: E402
from relay import Relay  # noqa: E402

PAGE = os.path.join(HERE, "../../docs/tls.md")
REFUSED = "refused"
# The listener, what the client asks for, what has to come of it: version and cipher, then ALPN.
AES128, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
ROWS = [
    ("http", "-tls1_3", "TLSv1.3 *, no ALPN"),
    ("http", "-tls1_2", "TLSv1.2 *, no ALPN"),
    ("http", "-tls1_1 -cipher ALL:@SECLEVEL=0", REFUSED),
    ("http", "-tls1 -cipher ALL:@SECLEVEL=0", REFUSED),
    ("grpc13", "-tls1_2 -alpn h2", REFUSED),
    ("grpc13", "-tls1_3 -alpn h2", "TLSv1.3 *, h2"),
    ("http", f"-tls1_3 -ciphersuites {AES128}", f"TLSv1.3 {AES128}, no ALPN"),
    ("http", f"-tls1_3 -ciphersuites {AES256}", f"TLSv1.3 {AES256}, no ALPN"),
    ("http", f"-tls1_3 -ciphersuites {CHACHA}", f"TLSv1.3 {CHACHA}, no ALPN"),
    ("http", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", REFUSED),
    ("http", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256, no ALPN"),
    ("http", "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384, no ALPN"),
    ("http", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305, no ALPN"),
    ("http", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", REFUSED),
    ("http", "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA", REFUSED),
    ("http", "-tls1_2 -cipher AES128-GCM-SHA256", REFUSED),
    ("http", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", REFUSED),
    ("http", "-tls1_3 -groups X25519", "TLSv1.3 *, no ALPN"),
    ("http", "-tls1_3 -groups P-256", "TLSv1.3 *, no ALPN"),
    ("http", "-tls1_3 -groups ffdhe2048", REFUSED),
    ("http", "-alpn h2", "TLSv1.3 *, h2"),
    ("http", "-alpn http/1.1", "TLSv1.3 *, http/1.1"),
    ("http", "-alpn http/1.1,h2", "TLSv1.3 *, h2"),
    ("http", "-alpn h3", REFUSED),
    ("grpc", "-alpn h2", "TLSv1.3 *, h2"),
    ("grpc", "-alpn http/1.1", REFUSED),
    ("must", "-tls1_2 -alpn h2", REFUSED),
    ("must", "-tls1_3 -alpn h2", REFUSED),
    ("must", "-tls1_2 -alpn h2 CLIENT", "TLSv1.2 *, h2"),
    ("must", "-tls1_3 -alpn h2 CLIENT", "TLSv1.3 *, h2"),
    ("must", "-tls1_3 -alpn h2 STRANGER", REFUSED),
    ("may", "-tls1_3 -alpn h2", "TLSv1.3 *, h2"),
    ("may", "-tls1_3 -alpn h2 CLIENT", "TLSv1.3 *, h2"),
    ("may", "-tls1_3 -alpn h2 STRANGER", REFUSED),
]
LISTENERS = {"http": "HTTP", "grpc": "gRPC", "grpc13": "gRPC, `min_version: 1.3`", "must": "gRPC, `client_ca_file`",
             "may": "HTTP, `client_auth: optional`"}


def ask(port, ca, options):
    """What s_client says. TLS 1.3 tells a client that it is refused after the handshake, so it has to read."""
    command = f"openssl s_client -connect 127.0.0.1:{port} -CAfile {ca} -verify_return_error -ign_eof {options}".split()
    run = subprocess.run(["timeout", "1", *command], input="", capture_output=True, text=True, check=False)
    said = run.stdout + run.stderr
    if re.search(r"alert|:error:|errno=|Call to SSL_CONF", said):
        return REFUSED
    cipher = re.search(r"^New, (\S+), Cipher is (\S+)", said, re.M)
    if cipher is None or cipher.group(2) == "(NONE)":
        return REFUSED
    version = re.search(r"(?:Protocol\s*:|^New,) (TLSv[\d.]+)", said, re.M).group(1)
    if "Protocol  : TLSv1.2" in said:
        version = "TLSv1.2"
    alpn = re.search(r"^ALPN protocol: (\S+)", said, re.M)
    return f"{version} {cipher.group(2)}, {alpn.group(1) if alpn else 'no ALPN'}"


def fits(got, wanted):
    return re.fullmatch(re.escape(wanted).replace(r"\*", r"\S+"), got) is not None


def shown(options):
    return options.replace("CLIENT", "-cert client.pem").replace("STRANGER", "-cert stranger.pem")


def write(table):
    with open(PAGE) as f:
        page = f.read()
    head, rest = page.split("<!-- begin matrix -->")
    tail = rest.split("<!-- end matrix -->")[1]
    new = f"{head}<!-- begin matrix -->\n{table}\n<!-- end matrix -->{tail}"
    if "--write" in sys.argv:
        with open(PAGE, "w") as f:
            f.write(new)
    return new == page or "--write" in sys.argv


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        ca, other = certs.Authority(folder), certs.Authority(folder, "other")
        leaf = "cert_file: {}, key_file: {}".format(*ca.sign("leaf"))
        extra = {"CLIENT": "-cert {} -key {}".format(*ca.sign("client")),
                 "STRANGER": "-cert {} -key {}".format(*other.sign("stranger"))}
        exporters = ["{ name: none, protocol: terminal }"]
        relays, ports = [], {}
        for name, grpc, http in (("a", leaf, leaf), ("b", f"{leaf}, min_version: 1.3", ""),
                                 ("c", f"{leaf}, client_ca_file: {ca.cert}",
                                  f"{leaf}, client_ca_file: {ca.cert}, client_auth: optional")):
            os.mkdir(os.path.join(folder, name))
            relays.append(Relay(os.path.join(folder, name), exporters, grpc_tls=grpc, http_tls=http))
        a, b, c = relays
        ports = {"http": a.http, "grpc": a.grpc, "grpc13": b.grpc, "must": c.grpc, "may": c.http}
        lines = ["| listener | `openssl s_client` with | comes to |", "|---|---|---|"]
        try:
            for listener, options, wanted in ROWS:
                full = options
                for word, files in extra.items():
                    full = full.replace(word, files)
                got = ask(ports[listener], ca.cert, full)
                lines.append(f"| {LISTENERS[listener]} | `{shown(options)}` | {got} |")
                if not fits(got, wanted):
                    failed += 1
                    lines[-1] += f" **wanted {wanted}**"
        finally:
            for relay in relays:
                relay.stop()
    table = "\n".join(lines)
    print(table)
    good = len(ROWS) - failed
    if failed == 0 and not write(table):
        print("docs/tls.md has another table: make tls-matrix TLS_MATRIX=--write")
        failed += 1
    print(f"tls-matrix: {good} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
