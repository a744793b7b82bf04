"""What the checks share: processes of ours, what the provider delivered, and a count of what passed."""

import atexit
import email
import email.policy
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

KEY = "api-CLIENTS0000000000000000000000000"
PATIENCE = 60


STARTED = []


@atexit.register
def end_what_is_left():
    """A check that failed did not stop what it had started."""
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)


class Process:
    """A process of ours whose output is read until it says where it listens."""

    def __init__(self, command, environment, pattern, count, stream):
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        STARTED.append(self.process)
        self.found, said = [], ""
        lines = getattr(self.process, stream)
        while len(self.found) < count:
            line = lines.readline()
            said += line
            if not line:
                raise RuntimeError(f"{command} stopped: {said}{self.process.stderr.read()}")
            self.found += re.findall(pattern, line)
        # Keep the pipes empty, or the process would wait for us.
        self.log = tempfile.TemporaryFile("w+")
        other = self.process.stderr if stream == "stdout" else self.process.stdout
        self.pumps = [
            subprocess.Popen(["cat"], stdin=lines, stdout=self.log),
            subprocess.Popen(["cat"], stdin=other, stdout=subprocess.DEVNULL),
        ]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.ended()
        assert code == 0, f"exit code {code}"

    def kill(self):
        """No handler, no goodbye."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.ended()

    def ended(self):
        for pump in self.pumps:
            pump.wait(PATIENCE)

    def read_log(self):
        self.log.seek(0)
        return self.log.read()


def simulator(binary, *options, bind="127.0.0.1:0"):
    command = [binary, "simulator", "--bind", bind, "--api-key", KEY, *options]
    return Process(command, {}, r"api_url +(http://[^ \n]+)/v3", 1, "stdout")


def gateway(binary, data_dir, api_url, settings=None, wrapper=()):
    """From the environment alone; its SMTP port is `.port`, its admin address `.admin`."""
    environment = {
        "S2G__DATA_DIR": data_dir,
        "S2G__LISTENERS__LAN__BIND": "127.0.0.1:0",
        "S2G__ADMIN__BIND": "127.0.0.1:0",
        "S2G__LOG__FORMAT": "json",
        "S2G__ACCOUNTS__DEFAULT__API_URL": api_url,
        "SMTP2GO_API_KEY": KEY,
        # What waited for a provider that was not there is not waited for long.
        "S2G__FORWARD__RETRY_FIRST": "500ms",
        "S2G__FORWARD__RETRY_MAX": "2s",
        "S2G__FORWARD__CONFIRM_AFTER": "1s",
        **(settings or {}),
    }
    command = [*wrapper, binary, "run"]
    process = Process(
        command, environment, r'"(address|admin)":"127.0.0.1:(\d+)"', 2, "stderr"
    )
    found = dict(process.found)
    process.port, process.admin = int(found["address"]), f"127.0.0.1:{found['admin']}"
    return process


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return response.read()


def wait_until(what, look, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Provider:
    """The simulator's view: what was delivered to whom."""

    def __init__(self, base):
        self.base = base
        self.seen = 0

    def all(self):
        return json.loads(get(f"{self.base}/_deliveries"))

    def raw(self, delivery):
        return get(f"{self.base}/_deliveries/{delivery['email_id']}/raw")

    def next(self, count=1):
        """The next `count` deliveries, sorted by recipient, with their parsed messages."""
        new = wait_until(
            f"{count} deliveries",
            lambda: (new := self.all()[self.seen :]) and len(new) >= count and new,
        )
        self.seen += len(new)
        assert len(new) == count, [delivery["recipients"] for delivery in new]
        for delivery in new:
            raw = self.raw(delivery)
            delivery["raw"] = raw
            delivery["message"] = email.message_from_bytes(raw, policy=email.policy.default)
        return sorted(new, key=lambda delivery: delivery["recipients"])


def run(*command, code=0, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options
    )
    assert done.returncode == code, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout
