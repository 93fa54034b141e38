# SPDX-License-Identifier: Apache-2.0
"""Secrets that are made up, planted in the shapes in which spans carry them: passwords people
choose, keys a vendor would draw, behind names in any spelling, in any syntax. A third is marked as
held aside, by a hash of the value: rules are not to be written for those."""
import base64
import hashlib
import random

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
ALNUM = LOWER + LOWER.upper() + DIGITS
WORDS = "dragon summer monkey shadow winter sunshine ninja tiger coffee orange silver falcon".split()

PASSWORD_NAMES = ("password", "passwd", "pwd", "db_password", "DB_PASSWORD", "dbPassword",
                  "userPassword", "spring.datasource.password", "REDIS_PASSWORD", "admin-password",
                  "smtp_passwd", "passphrase", "secret", "app_secret", "CLIENT_SECRET",
                  "clientSecret", "myAppSecret", "password1", "DB_PASSWORD_PROD")
KEY_NAMES = ("api_key", "apiKey", "API_KEY", "api-key", "x-api-key", "access_token", "accessToken",
             "auth_token", "AUTH_TOKEN", "access_key", "secret_key", "SECRET_KEY", "private_key",
             "privateKey", "encryption_key", "license_key", "signing.key", "token", "SERVICE_TOKEN",
             "github_token", "myAppSecretKey", "session_token", "refreshToken", "shared_key")


def text(r, alphabet, n):
    return "".join(r.choice(alphabet) for _ in range(n))


def password(r):
    w = r.choice(WORDS)
    return r.choice((
        w + str(r.randrange(10, 9999)), w.title() + str(r.randrange(1990, 2030)) + r.choice("!#%*"),
        w[:3] + "@" + text(r, ALNUM, 5), text(r, ALNUM + "!#%*-_", 12) + r.choice(DIGITS),
        w.title() + "-" + r.choice(WORDS) + "-" + text(r, DIGITS, 2), "hunter2", "Pa55w0rd!"))


def key(r):
    return r.choice((
        text(r, "0123456789abcdef", r.choice((32, 40, 64))), text(r, ALNUM, r.choice((20, 24, 32, 40))),
        base64.b64encode(r.randbytes(r.choice((24, 32)))).decode(),
        text(r, ALNUM + "-_", 43), text(r, LOWER + DIGITS, 24)))


QUOTED = ('{n} = "{s}"', "{n} = '{s}'", '{n}: "{s}"', '"{n}": "{s}"', "'{n}' => '{s}',",
          '{{"{n}":"{s}","a":1}}', '{{\\"{n}\\":\\"{s}\\"}}', 'String {n} = "{s}";',
          'const {n} = `{s}`;', 'var {n} string = "{s}"', '{n} := "{s}"', 'config["{n}"] = "{s}"',
          'os.environ.setdefault("{n}", "{s}")', '<add key="{n}" value="{s}" />',
          '{{"name":"{n}","value":"{s}"}}', 'set("{n}", "{s}")', 'if ({n} == "{s}") {{',
          "export {n}='{s}'", '{n}="{s}" run', '$config[\'{n}\'] = \'{s}\';')
PLAIN = ("{n}={s}", "export {n}={s}", "a=1&{n}={s}&b=2", "{n}: {s}", "host=db;{n}={s};port=1",
         "https://example.com/x?{n}={s}&y=1", "env: {n}={s} LANG=C", "<{n}>{s}</{n}>", "{n} = {s}\n",
         "failed with {n}={s}, giving up", "- name: {n}\n  value: {s}", "{n}={s}\nOTHER=1")
TOKENS = ("{s}", "token {s} was refused", "https://example.com/?t={s}", '{{"a":["{s}"]}}', "x={s};",
          "\n{s}\n", "({s})", "login {s}: 401", "a,{s},b", "key '{s}'")
URLS = ("https://joe:{s}@example.com/x", "postgres://app:{s}@db:5432/o", "redis://:{s}@c:6379/0",
        "jdbc:mysql://db/o?user=a&password={s}", "amqp://app:{s}@mq/v",
        "Server=db;User Id=sa;Password={s};", "mongodb+srv://app:{s}@c0.example.net/o",
        "DSN=x;UID=a;PWD={s}", "host=db user=a password={s} dbname=o")
HEADERS = ("Authorization: Bearer {s}", '{{"authorization":"Bearer {s}"}}', "X-Api-Key: {s}",
           'curl -H "Authorization: token {s}" x', "Cookie: sid={s}", "Private-Token: {s}")


def vendor(r):
    """Formats that their vendors describe in public."""
    h = "0123456789abcdef"
    return r.choice((
        lambda: "AKIA" + text(r, LOWER.upper() + "234567", 16), lambda: "ghp_" + text(r, ALNUM, 36),
        lambda: "glpat-" + text(r, ALNUM + "-_", 20), lambda: "xoxb-%s-%s-%s" % (
            text(r, DIGITS, 12), text(r, DIGITS, 12), text(r, ALNUM, 24)),
        lambda: "sk_live_" + text(r, ALNUM, 24), lambda: "AIza" + text(r, ALNUM + "-_", 35),
        lambda: "SG.%s.%s" % (text(r, ALNUM, 22), text(r, ALNUM, 43)), lambda: "npm_" + text(r, ALNUM, 36),
        lambda: "dop_v1_" + text(r, h, 64), lambda: "hvs." + text(r, ALNUM, 90),
        lambda: "sk-ant-api03-" + text(r, ALNUM + "-_", 93) + "AA", lambda: "hf_" + text(r, ALNUM, 34),
        lambda: "shpat_" + text(r, h, 32), lambda: "tskey-auth-%s-%s" % (
            text(r, ALNUM, 12), text(r, ALNUM, 32)),
        lambda: ".".join(base64.urlsafe_b64encode(x).decode().rstrip("=") for x in (
            b'{"alg":"HS256"}', b'{"sub":"%d"}' % r.randrange(10 ** 9), r.randbytes(32))),
        lambda: "pypi-AgEIcHlwaS5vcmc" + text(r, ALNUM + "-_", 150),
        lambda: "dapi" + text(r, h, 32), lambda: "github_pat_%s_%s" % (text(r, ALNUM, 22), text(r, ALNUM, 59)),
        lambda: "NRAK-" + text(r, ALNUM, 27).upper(), lambda: "PMAK-%s-%s" % (text(r, h, 24), text(r, h, 34)),
    ))()


def one(r):
    kind = r.randrange(6)
    if kind == 0:
        n, s, t = r.choice(PASSWORD_NAMES), password(r), r.choice(QUOTED)
    elif kind == 1:
        n, s, t = r.choice(PASSWORD_NAMES), password(r), r.choice(PLAIN)
    elif kind == 2:
        n, s, t = r.choice(KEY_NAMES), key(r), r.choice(QUOTED + PLAIN)
    elif kind == 3:
        n, s, t = "", vendor(r), r.choice(TOKENS)
    elif kind == 4:
        n, s, t = "", password(r).replace("#", "x").replace("%", "y"), r.choice(URLS)
    else:
        n, s, t = "", key(r), r.choice(HEADERS)
    return ("names", "names", "keys", "vendors", "urls", "headers")[kind], t, t.format(n=n, s=s), s


def items(n):
    r = random.Random(20260214)
    for _ in range(n):
        source, template, value, secret = one(r)
        held = hashlib.sha256(value.encode()).digest()[0] % 3 == 0
        yield {"source": "own " + source, "rule": template, "value": value, "secret": secret,
               "held": held}
