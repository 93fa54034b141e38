# SPDX-License-Identifier: Apache-2.0
"""Values in which there is no secret, of the kinds that spans carry: ids, hashes, names of pods and
images, statements, addresses, user agents, code and prose. Code and prose come from what is
installed on the machine, in a fixed order; all else from a generator with a fixed seed."""
import glob
import os
import random
import re
import uuid

HEX = "0123456789abcdef"
ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ("order user cart payment shipping invoice account session product catalog search index "
         "cache queue worker job event message stream topic batch report export import upload "
         "download image file folder page view list item detail price stock region zone cluster "
         "node service gateway proxy router token auth login logout profile setting key password "
         "secret credential api access").split()
VERBS = "GET POST PUT DELETE PATCH HEAD".split()
COLUMNS = "id name email status created_at price amount user_id order_id token password key".split()
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/%d.0.%d.%d Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/%d.%d Safari/605.1.%d",
    "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.%d",
    "Go-http-client/%d.%d (%d)", "python-requests/%d.%d.%d", "okhttp/%d.%d.%d",
    "kube-probe/%d.%d+%d", "grpc-java-netty/%d.%d.%d", "curl/%d.%d.%d",
    "aws-sdk-go-v2/%d.%d.%d os/linux lang/go#1.21.5 md/GOOS#linux md/GOARCH#amd64",
)
MESSAGES = (
    "the password is wrong", "token expired", "invalid password for user %s", "missing api key",
    "password: required", "authentication failed: bad credentials", "Bearer token is missing",
    "secret not found: %s", "access key rotated %d days ago", "no such key: %s/%d",
    "unexpected token '%s' at line %d", "token count: %d", "csrf token mismatch",
    "password must have at least %d characters", "the secret %s was created",
    "using token bucket of size %d", "public key added to %s", "key=%s not found in cache",
    "password reset requested for user %d", "auth: basic realm=\"%s\"", "failed to get token for %s",
    "secretKeyRef %s/%s not found", "session %d closed", "primary key (id)=(%d) already exists",
    "duplicate key value violates unique constraint \"%s_pkey\"", "password = ?", "token: null",
    "max_tokens: %d", "api_key is required", "your-api-key-here", "password=<password>",
    "PASSWORD=${DB_PASS}", "secret={{ .Values.secret }}", "token=$TOKEN", "api_key: YOUR_API_KEY",
    "password: xxxxxxxx", "password=********", "password=[REDACTED]", "token=REDACTED",
)


def text(r, alphabet, n):
    return "".join(r.choice(alphabet) for _ in range(n))


def word(r):
    return r.choice(WORDS)


def fill(r, pattern):
    """Numbers for %d, words for %s."""
    return re.sub("%[ds]", lambda m: str(r.randrange(1, 200)) if m[0] == "%d" else word(r), pattern)


def identifiers(r):
    kind = r.randrange(12)
    if kind < 3:
        return ("", str(uuid.UUID(int=r.getrandbits(128), version=4)))
    if kind < 5:
        return ("trace.id", text(r, HEX, r.choice((16, 32))))
    return (r.choice(("user.id", "order.id", "messaging.message.id", "session.id", "")),
            r.choice((
                "%s-%s" % (word(r), text(r, "0123456789", 8)),
                text(r, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
                "usr_" + text(r, ALNUM, 8), str(r.getrandbits(63)),
                "arn:aws:sqs:eu-west-1:%d:%s" % (r.randrange(10 ** 11, 10 ** 12), word(r)),
                "i-" + text(r, HEX, 17), "req-" + str(uuid.UUID(int=r.getrandbits(128))))))


def hashes(r):
    return (r.choice(("", "http.response.header.etag", "git.commit", "file.hash")), r.choice((
        text(r, HEX, 40), text(r, HEX, 64), "sha256:" + text(r, HEX, 64), "md5:" + text(r, HEX, 32),
        'W/"%s-%s"' % (text(r, HEX, 4), text(r, ALNUM, 24)), '"%s"' % text(r, HEX, 32),
        "sha512-" + text(r, ALNUM + ALNUM.upper() + "+/", 86) + "==",
        "commit " + text(r, HEX, 40), text(r, HEX, 7))))


def pods(r):
    name = "%s-%s" % (word(r), word(r))
    return (r.choice(("k8s.pod.name", "container.image.name", "container.id", "host.name")), r.choice((
        "%s-%s-%s" % (name, text(r, "bcdfghjklmnpqrstvwxz2456789", 10), text(r, ALNUM, 5)),
        "%s-%d" % (name, r.randrange(20)), text(r, HEX, 64),
        "registry.example.com/%s/%s@sha256:%s" % (word(r), name, text(r, HEX, 64)),
        "ghcr.io/%s/%s:v%d.%d.%d" % (word(r), name, r.randrange(9), r.randrange(9), r.randrange(9)),
        "ip-10-%d-%d-%d.eu-west-1.compute.internal" % tuple(r.randrange(256) for _ in range(3)),
        "%s.%s.svc.cluster.local:%d" % (name, word(r), r.randrange(1, 65536)))))


def statements(r):
    c = r.sample(COLUMNS, 3)
    return (r.choice(("db.statement", "db.query.text")), r.choice((
        "SELECT %s, %s FROM %ss WHERE %s = ?" % (c[0], c[1], word(r), c[2]),
        "SELECT * FROM %ss WHERE %s = $1 AND %s IN ($2, $3)" % (word(r), c[0], c[1]),
        "UPDATE %ss SET %s = :%s, updated_at = now() WHERE id = :id" % (word(r), c[0], c[0]),
        "INSERT INTO %ss (%s) VALUES (?, ?, ?)" % (word(r), ", ".join(c)),
        "SELECT %s FROM %ss WHERE password = ? AND token = $1 AND secret = :pw" % (c[0], word(r)),
        "CREATE INDEX %s_%s ON %ss (%s)" % (word(r), c[0], word(r), c[0]),
        "HGETALL %s:%d" % (word(r), r.randrange(10 ** 6)), "GET %s:key:%d" % (word(r), r.randrange(99)),
        '{"find":"%ss","filter":{"%s":"?"}}' % (word(r), c[0]),
        "SELECT u.password, u.token AS token FROM users u WHERE u.%s = %d" % (c[0], r.randrange(999)))))


def addresses(r):
    path = "/".join(r.choice((word(r), str(r.randrange(10 ** 5)))) for _ in range(r.randrange(1, 5)))
    query = "&".join("%s=%s" % (r.choice(("page", "limit", "sort", "q", "id", "from", "lang", "v")),
                                r.choice((word(r), str(r.randrange(1000)))))
                     for _ in range(r.randrange(4)))
    host = r.choice(("https://api.example.com/", "http://10.0.%d.%d:8080/" % (r.randrange(256), 7),
                     "https://%s.example.org/" % word(r), "/", "/api/v1/",
                     "https://cdn.example.net/assets/"))
    tail = r.choice(("", "", "?" + query if query else "", "#top", "main.%s.js" % text(r, HEX, 8)))
    return (r.choice(("url.full", "http.target", "url.path", "http.url")), host + path + tail)


def agents(r):
    return ("user_agent.original", fill(r, r.choice(AGENTS)))


def messages(r):
    return (r.choice(("", "exception.message", "log.message")), fill(r, r.choice(MESSAGES)))


def plain(r):
    return (r.choice(("http.route", "rpc.method", "http.request.method", "span.kind", "")), r.choice((
        r.choice(VERBS), "/%s/{id}/%s" % (word(r), word(r)), str(r.randrange(100, 600)),
        "%s.%sService/Get%s" % (word(r), word(r).title(), word(r).title()), "true", "application/json",
        "2026-%02d-%02dT%02d:%02d:%02dZ" % tuple(r.randrange(1, 13) for _ in range(5)),
        "%d.%03d" % (r.randrange(999), r.randrange(1000)), "%s %s" % (r.choice(VERBS), word(r)),
        "%s@%d.%d.%d" % (word(r), r.randrange(9), r.randrange(9), r.randrange(9)),
        "10.%d.%d.%d" % tuple(r.randrange(256) for _ in range(3)), "en-US,en;q=0.9",
        "max-age=%d, public" % r.randrange(10 ** 6), "gzip, deflate, br", "multipart/form-data")))


def lines_of(patterns, most):
    """Lines and short runs of lines, each file once, in the order of their names."""
    for pattern in patterns:
        for name in sorted(glob.glob(pattern, recursive=True)):
            if re.search(r"(?i)secret|credential|fixture|/tests?/|netrc|oauth|/share/doc/ca-", name):
                continue
            try:
                with open(name, encoding="utf-8") as f:
                    content = f.read(200000)
            except (OSError, UnicodeDecodeError):
                continue
            if "PRIVATE KEY" in content:
                continue
            lines = [line for line in content.split("\n") if line.strip()]
            for i in range(0, len(lines) - 3, 3):
                yield ("", lines[i][:400])
                yield ("exception.stacktrace", "\n".join(lines[i + 1:i + 3])[:1000])
                most -= 2
                if most <= 0:
                    return


CODE = [os.path.join(os.path.dirname(os.__file__), "**", "*.py"),
        "/usr/include/**/*.h", "/usr/share/perl/**/*.p[lm]", "/usr/lib/node_modules/**/*.js"]
PROSE = ["/usr/share/doc/*/README*", "/usr/share/doc/*/copyright", "/usr/share/doc/**/*.txt",
         "/usr/share/perl/**/*.pod"]
KINDS = (identifiers, hashes, pods, statements, addresses, agents, messages, plain)


def descriptions(most):
    """Of packages, as apt and dpkg know them."""
    for name in ("/var/lib/dpkg/status", "/var/lib/dpkg/available"):
        try:
            with open(name, encoding="utf-8", errors="ignore") as f:
                for line in f:
                    if line.startswith((" ", "Description")) and most > 0 and line.strip():
                        most -= 1
                        yield ("", line.strip())
        except OSError:
            continue


def batches(n):
    """(kind, values) with about n values in all, a value being (key, text)."""
    r = random.Random(20260101)
    share = n // (len(KINDS) + 3)
    for kind in KINDS:
        yield kind.__name__, [kind(r) for _ in range(share)]
    yield "code", list(lines_of(CODE, 2 * share))
    yield "prose", list(lines_of(PROSE, share)) + list(descriptions(share // 2))
