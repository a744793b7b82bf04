"""Mail clients: swaks, curl, smtplib, msmtp; and the commands that look after what they sent."""

import functools
import hashlib
import json
import os
import smtplib
import ssl
import tempfile
from email.message import EmailMessage

from harness import KEY, PATIENCE, Process, Provider, run, simulator

USER, PASSWORD = "scanner1", "a-secret-12"


def text_of(part):
    return part.get_content().replace("\r\n", "\n")


def swaks(world, *options, port="lan", to="office@example.org", code=0):
    return run(
        "swaks", "--server", f"127.0.0.1:{world.port[port]}", "--from", "scan@example.com",
        "--to", to, *options, code=code,
    )  # fmt: skip


def check_swaks_plain(world):
    swaks(world, "--body", "plain text")
    (delivery,) = world.provider.next()
    assert delivery["recipients"] == ["office@example.org"]
    assert "plain text" in delivery["message"].get_content()


def check_swaks_starttls_login(world):
    out = swaks(world, "--tls", "--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD)
    assert "TLS started" in out
    (delivery,) = world.provider.next()
    assert "with ESMTPSA id" in delivery["message"]["Received"]


def check_swaks_implicit_plain(world):
    swaks(
        world, "--tlsc", "--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD, port="tls"
    )  # fmt: skip
    (delivery,) = world.provider.next()
    assert "with ESMTPSA id" in delivery["message"]["Received"]


def check_swaks_refusals(world):
    out = swaks(world, "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong", code=28)
    assert "535 5.7.8" in out
    out = swaks(world, port="closed", code=23)
    assert "530 5.7.0" in out
    out = swaks(
        world, "--from", "boss@example.com", "--auth", "LOGIN", "--auth-user", USER,
        "--auth-password", PASSWORD, port="closed", code=23,
    )  # fmt: skip
    assert "550 5.7.1 sender boss@example.com not allowed" in out
    assert world.provider.all()[world.provider.seen :] == []


def check_swaks_attachment(world):
    octets = os.urandom(300_000)
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(octets)
        file.flush()
        swaks(world, "--attach-type", "application/pdf", "--attach", f"@{file.name}")
    (delivery,) = world.provider.next()
    (part,) = [p for p in delivery["message"].walk() if p.get_content_type() == "application/pdf"]
    assert part.get_payload(decode=True) == octets


def check_swaks_bcc(world):
    """A recipient no header names gets it; a header recipient that was never RCPT does not."""
    swaks(
        world, "--to", "office@example.org,hidden@example.org",
        "--header", "To: office@example.org, never@example.org",
    )  # fmt: skip
    hidden, office = world.provider.next(2)
    assert hidden["recipients"] == ["hidden@example.org"], hidden["recipients"]
    assert office["recipients"] == ["office@example.org"], office["recipients"]
    assert b"hidden@" not in office["raw"]
    assert office["message"]["To"] == "office@example.org"


def check_curl(world):
    text = "From: scan@example.com\r\nTo: office@example.org\r\nSubject: curl\r\n\r\n.dot\r\nend\r\n"
    for url, options in [
        (f"smtp://127.0.0.1:{world.port['lan']}", []),
        (f"smtp://127.0.0.1:{world.port['lan']}", ["--ssl-reqd", "-k", "-u", f"{USER}:{PASSWORD}"]),
        (f"smtps://127.0.0.1:{world.port['tls']}", ["-k", "-u", f"{USER}:{PASSWORD}"]),
    ]:
        run(
            "curl", "-sS", url, *options, "--mail-from", "scan@example.com",
            "--mail-rcpt", "office@example.org", "-T", "-", input=text,
        )  # fmt: skip
        (delivery,) = world.provider.next()
        assert delivery["raw"].endswith(text.encode()), delivery["raw"]


def check_smtplib(world):
    message = EmailMessage()
    message["From"] = "Scanner <scan@example.com>"
    message["To"] = "Office <office@example.org>"
    message["Bcc"] = "archive@example.org"
    message["Subject"] = "Überprüfung"
    message.set_content("Grüße\n.\n..\n")
    octets = os.urandom(9_000_000)
    message.add_attachment(octets, maintype="image", subtype="tiff", filename="scan.tiff")
    # What a site does with the generated certificate: trust exactly it.
    trusted = ssl.create_default_context(cafile=f"{world.data}/tls/lan/cert.pem")
    with smtplib.SMTP("127.0.0.1", world.port["lan"], timeout=PATIENCE) as client:
        client.starttls(context=trusted)
        client.login(USER, PASSWORD)
        assert client.send_message(message) == {}
    archive, office = world.provider.next(2)
    assert (archive["recipients"], office["recipients"]) == (
        ["archive@example.org"],
        ["office@example.org"],
    )
    for delivery in (archive, office):
        got = delivery["message"]
        assert got["Subject"] == "Überprüfung"
        assert text_of(got.get_body()) == "Grüße\n.\n..\n"
        (part,) = got.iter_attachments()
        assert hashlib.sha256(part.get_content()).digest() == hashlib.sha256(octets).digest()


def check_smtplib_many(world):
    with smtplib.SMTP("127.0.0.1", world.port["lan"], timeout=PATIENCE) as client:
        for number in range(100):
            client.sendmail(
                "scan@example.com",
                [f"r{number}@example.org"],
                f"From: scan@example.com\nTo: r{number}@example.org\n\n{number}\n",
            )
    deliveries = world.provider.next(100)
    assert {d["recipients"][0] for d in deliveries} == {f"r{n}@example.org" for n in range(100)}


def check_msmtp(world):
    text = "From: scan@example.com\nTo: office@example.org\nSubject: msmtp\n\nbody\n"
    for options in [
        ["--auth=off", "--tls=off", f"--port={world.port['lan']}"],
        ["--auth=plain", "--tls=on", "--tls-starttls=on", f"--port={world.port['lan']}"],
        ["--auth=login", "--tls=on", "--tls-starttls=off", f"--port={world.port['tls']}"],
    ]:
        if "--auth=off" not in options:
            options += [f"--user={USER}", f"--passwordeval=echo {PASSWORD}"]
        run(
            "msmtp", "--file=/dev/null", "--host=127.0.0.1", "--from=scan@example.com",
            "--tls-certcheck=off", *options, "office@example.org", input=text,
        )  # fmt: skip
        (delivery,) = world.provider.next()
        assert text_of(delivery["message"]) == "body\n"


def check_commands(world):
    admin = ["--admin", f"127.0.0.1:{world.admin}"]
    environment = {**os.environ, "SMTP2GO_API_KEY": KEY}
    assert '"ready":true' in run(world.binary, "health", *admin, env=environment)
    every = ["queue", "list", "--all", "--limit", "500", "--json"]
    out = run(world.binary, *every, *admin, env=environment)
    newest = json.loads(out)[0]["id"]
    out = run(world.binary, "trace", newest, *admin, env=environment)
    assert "accepted from 127.0.0.1" in out and "attempt 1 accepted" in out, out
    assert KEY not in out and PASSWORD not in out


def check_queue_control(world):
    admin = ["--admin", f"127.0.0.1:{world.admin}"]
    environment = {**os.environ, "SMTP2GO_API_KEY": KEY}
    unknown = "0" * 32
    for order in ("retry", "hold", "release", "drop"):
        out = run(world.binary, "queue", order, unknown, *admin, env=environment, code=1)
        assert "error: the gateway answered 409" in out, out
    out = run(world.binary, "queue", "export", unknown, *admin, env=environment, code=1)
    assert "no content of message" in out, out


def check_demo_once(world):
    out = run(
        world.binary, "demo", "--once", "--smtp", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        "--api", "127.0.0.1:0",
    )  # fmt: skip
    assert "attempt 1 accepted" in out and "office@example.org" in out, out
    # Enough to call the API by hand.
    assert "api key   api-" in out and "delivered http://" in out, out


def check_demo_with_swaks(world):
    demo = Process(
        [world.binary, "demo", "--smtp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--api", "127.0.0.1:0"],
        {}, r"(?:smtp +127.0.0.1:|api +http://127.0.0.1:)(\d+)", 2, "stdout",
    )  # fmt: skip
    smtp, api = demo.found
    provider = Provider(f"http://127.0.0.1:{api}")
    provider.next(2)
    run(
        "swaks", "--server", f"127.0.0.1:{smtp}", "--from", "scan@example.com",
        "--to", "a@example.org,bcc-only@example.org",
        "--header", "To: a@example.org, never-rcpt@example.org",
    )  # fmt: skip
    reached = [delivery["recipients"] for delivery in provider.next(2)]
    assert reached == [["a@example.org"], ["bcc-only@example.org"]], reached
    demo.stop()


class World:
    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.TemporaryDirectory()
        data = self.data = self.directory.name
        self.simulator = simulator(binary)
        base = self.simulator.found[0]
        self.provider = Provider(base)
        settings = f"""
            hostname = "relay.example.com"
            data_dir = "{data}"
            [log]
            format = "json"
            [listeners.lan]
            bind = "127.0.0.1:0"
            [listeners.tls]
            bind = "127.0.0.1:0"
            tls = "implicit"
            [listeners.closed]
            bind = "127.0.0.1:0"
            trust = []
            [accounts.default]
            api_url = "{base}/v3"
            api_key = "{KEY}"
            [devices.scanner]
            username = "{USER}"
            password = "{PASSWORD}"
            allowed_senders = ["scan@example.com"]
            [admin]
            bind = "127.0.0.1:0"
        """
        file = f"{data}/gateway.toml"
        with open(file, "w") as out:
            out.write(settings)
        self.gateway = Process(
            [binary, "run", "--config", file], {},
            r'(?:"listener":"(\w+)".*)?"(?:address|admin)":"127.0.0.1:(\d+)"', 4, "stderr",
        )  # fmt: skip
        found = dict(self.gateway.found)
        self.admin = found.pop("")
        self.port = found

    def stop(self):
        self.gateway.stop()
        log = self.gateway.read_log()
        assert KEY not in log and PASSWORD not in log, "a secret in the log"
        self.simulator.stop()
        self.directory.cleanup()


def checks(binary):
    """All of them share one gateway, which the last one stops."""
    world = functools.cache(lambda: World(binary))
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            yield name.removeprefix("check_"), lambda check=check: check(world())
    yield "no_secret_in_the_log", lambda: world().stop()
