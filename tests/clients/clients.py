#!/usr/bin/env python3
"""Real clients against the real binary, each checked by what the simulated provider delivered.

Usage: clients.py PATH-TO-BINARY. Needs swaks, curl, msmtp and nothing but this machine's loopback.
Ends with "N passed, N failed" and exits 0 only when nothing failed.
"""

import email
import email.policy
import hashlib
import json
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from email.message import EmailMessage

BINARY = os.path.abspath(sys.argv[1])
KEY = "api-CLIENTS0000000000000000000000000"
USER, PASSWORD = "scanner1", "a-secret-12"
PATIENCE = 30


class Process:
    """A process of ours whose output is read until it says where it listens."""

    def __init__(self, arguments, environment, pattern, count, stream):
        self.process = subprocess.Popen(
            [BINARY, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.found = []
        lines = getattr(self.process, stream)
        while len(self.found) < count:
            line = lines.readline()
            if not line:
                raise RuntimeError(f"{arguments} stopped: {self.process.stderr.read()}")
            self.found += re.findall(pattern, line)
        # Keep the pipe empty, or the process would wait for us.
        self.log = tempfile.TemporaryFile("w+")
        self.pump = subprocess.Popen(["cat"], stdin=lines, stdout=self.log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.pump.wait(PATIENCE)
        assert code == 0, f"exit code {code}"


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return response.read()


class Provider:
    """The simulator's view: what was delivered to whom."""

    def __init__(self, base):
        self.base = base
        self.seen = 0

    def all(self):
        return json.loads(get(f"{self.base}/_deliveries"))

    def next(self, count=1):
        """The next `count` deliveries, sorted by recipient, with their parsed messages."""
        deadline = time.monotonic() + PATIENCE
        while True:
            new = self.all()[self.seen :]
            if len(new) >= count:
                break
            assert time.monotonic() < deadline, f"{len(new)} of {count} delivered"
            time.sleep(0.02)
        self.seen += len(new)
        assert len(new) == count, [delivery["recipients"] for delivery in new]
        for delivery in new:
            raw = get(f"{self.base}/_deliveries/{delivery['email_id']}/raw")
            delivery["raw"] = raw
            delivery["message"] = email.message_from_bytes(raw, policy=email.policy.default)
        return sorted(new, key=lambda delivery: delivery["recipients"])


def run(*command, code=0, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options
    )
    assert done.returncode == code, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout


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
    assert '"ready":true' in run(BINARY, "health", *admin, env=environment)
    out = run(BINARY, "queue", "list", "--all", "--json", *admin, env=environment)
    newest = json.loads(out)[0]["id"]
    out = run(BINARY, "trace", newest, *admin, env=environment)
    assert "accepted from 127.0.0.1" in out and "attempt 1 accepted" in out, out
    assert KEY not in out and PASSWORD not in out


def check_queue_control(world):
    admin = ["--admin", f"127.0.0.1:{world.admin}"]
    environment = {**os.environ, "SMTP2GO_API_KEY": KEY}
    unknown = "0" * 32
    for order in ("retry", "hold", "release", "drop"):
        out = run(BINARY, "queue", order, unknown, *admin, env=environment, code=1)
        assert "error: the gateway answered 409" in out, out
    out = run(BINARY, "queue", "export", unknown, *admin, env=environment, code=1)
    assert "no content of message" in out, out


def check_demo_once(world):
    out = run(
        BINARY, "demo", "--once", "--smtp", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        "--api", "127.0.0.1:0",
    )  # fmt: skip
    assert "attempt 1 accepted" in out and "office@example.org" in out, out


def check_demo_with_swaks(world):
    demo = Process(
        ["demo", "--smtp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--api", "127.0.0.1:0"],
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
    def __init__(self, data):
        self.data = data
        self.simulator = Process(
            ["simulator", "--bind", "127.0.0.1:0", "--api-key", KEY],
            {}, r"api_url +(http://[^ ]+)/v3", 1, "stdout",
        )  # fmt: skip
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
            ["run", "--config", file], {},
            r'(?:"listener":"(\w+)".*)?"(?:address|admin)":"127.0.0.1:(\d+)"', 4, "stderr",
        )  # fmt: skip
        found = dict(self.gateway.found)
        self.admin = found.pop("")
        self.port = found

    def stop(self):
        self.gateway.stop()
        self.gateway.log.seek(0)
        log = self.gateway.log.read()
        assert KEY not in log and PASSWORD not in log, "a secret in the log"
        self.simulator.stop()


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as data:
        world = World(data)
        checks = [value for name, value in globals().items() if name.startswith("check_")]
        for check in [*checks, World.stop]:
            name = check.__name__.removeprefix("check_")
            try:
                check(world)
                passed += 1
                print(f"ok    {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
