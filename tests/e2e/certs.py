# SPDX-License-Identifier: Apache-2.0
"""Certificates for the tests, made on the spot by the openssl program: authorities, and what they sign."""
import os
import ssl
import subprocess


def run(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


class Authority:
    """A root. sign() gives the files (certificate, key) of a leaf."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = str(folder), name
        self.cert, self.key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        run(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9".split(),
            *("-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}"),
        )

    def path(self, name):
        return os.path.join(self.folder, name)

    def sign(self, name, san="DNS:localhost,IP:127.0.0.1", days=9):
        cert, key, request = (self.path(f"{name}.{end}") for end in ("pem", "key", "csr"))
        extensions = self.path(f"{name}.ext")
        with open(extensions, "w") as f:
            f.write(f"subjectAltName={san}\n")
        run(
            *"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
        )
        run(
            *("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial"),
            *("-out", cert, "-days", str(days), "-extfile", extensions),
        )
        os.chmod(key, 0o600)
        return cert, key


def client(ca, cert=None, alpn=None, least=None, most=None):
    """What Python's clients connect with; `cert`: (certificate, key)."""
    context = ssl.create_default_context(cafile=ca)
    if cert is not None:
        context.load_cert_chain(*cert)
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    if least is not None:
        context.minimum_version = least
    if most is not None:
        context.maximum_version = most
    return context


def server(cert, ca=None, alpn=None):
    """What Python's servers accept with; `ca`: clients must show what it signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context
