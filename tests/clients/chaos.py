"""Everything goes wrong at once: kills, stops, reloads, cuts, refusals that show as events, clock steps and a small
disk that others fill. What got its 250 is delivered, and twice only where the trace says so.

CHAOS_SECONDS says for how long (60; an hour is 3600), CHAOS_SEED with which dice. CHAOS_GATEWAY names another binary
to be tried, such as an older one: the simulator is always the one under test. Needs root and a C compiler."""

import collections
import email
import json
import os
import pathlib
import random
import signal
import smtplib
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

from disks import fill, small_disk
from harness import PATIENCE, Provider, gateway, get, simulator, wait_until

HERE = pathlib.Path(__file__).parent
SETTINGS = {
    "S2G__FORWARD__RETRY_FIRST": "200ms",
    "S2G__FORWARD__RETRY_MAX": "1s",
    "S2G__FORWARD__CONFIRM_AFTER": "500ms",
    "S2G__FORWARD__ANSWER_TIMEOUT": "2s",
    "S2G__SPOOL__MIN_FREE_DISK": "0",
    "S2G__SYNC__ENABLED": "false",
}
FAULTS = [
    {"kind": "cut", "when": "before"},
    {"kind": "cut", "when": "after_body"},
    {"kind": "cut", "when": "after_accepting"},
    {"kind": "status", "status": 503, "body": "<html>busy</html>"},
    {"kind": "status", "status": 500},
    {"kind": "wrong_length"},
    {"kind": "refuse", "text": "later - Code(451)", "recorded": True},
    {"kind": "refuse", "text": "later - Code(451)", "recorded": True, "unheard": True},
]
STEPS = [-172_800, -7_200, -1_200, -90, 90, 1_200, 7_200, 172_800]


class Storm:
    """A gateway that is never left in peace."""

    def __init__(self, binary, mount, home, dice):
        self.binary = os.environ.get("CHAOS_GATEWAY", binary)
        self.mount, self.dice = mount, dice
        self.clock = pathlib.Path(home, "clock")
        self.set_clock(0)
        self.config = pathlib.Path(home, "gateway.toml")
        self.config.write_text("# nothing but defaults\n")
        shim = f"{home}/stepping_clock.so"
        source = HERE / "stepping_clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        self.settings = {**SETTINGS, "LD_PRELOAD": shim, "CLOCK_OFFSET": str(self.clock)}
        self.provider = simulator(binary)
        self.base = self.provider.found[0]
        self.ours = None
        self.told = collections.Counter()
        self.start()

    def set_clock(self, seconds):
        # Written in place: the file is mapped into the gateway.
        if not self.clock.exists():
            self.clock.write_bytes(struct.pack("q", 0))
        with self.clock.open("r+b") as clock:
            clock.write(struct.pack("q", seconds))

    def start(self):
        self.ours = gateway(self.binary, f"{self.mount}/spool", f"{self.base}/v3", self.settings)

    def kill(self):
        self.ours.kill()
        self.start()

    def stop(self):
        self.ours.stop()
        self.start()

    def reload(self):
        self.ours.process.send_signal(signal.SIGHUP)

    def step_clock(self):
        self.set_clock(self.dice.choice(STEPS))

    def fill_disk(self):
        fill(self.mount)
        if self.dice.random() < 0.5:
            # It starts all the same.
            self.kill()
        time.sleep(1)
        self.free_disk()

    def free_disk(self):
        pathlib.Path(self.mount, "ballast").unlink(missing_ok=True)

    def break_calls(self):
        script = [
            {"endpoint": "/email/mime", "times": self.dice.randint(1, 2), "fault": fault}
            for fault in self.dice.sample(FAULTS, 3)
        ]
        if self.dice.random() < 0.2:
            script.append({"endpoint": "/activity/search", "fault": self.dice.choice(FAULTS[:6])})
        self.post("/_faults", script)

    def post(self, path, value):
        request = urllib.request.Request(
            f"{self.base}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def blow(self, seconds):
        blows = [self.kill, self.stop, self.reload, self.step_clock, self.fill_disk]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.break_calls()
            time.sleep(self.dice.uniform(0.3, 1.5))
            blow = self.dice.choice(blows)
            self.told[blow.__name__] += 1
            blow()

    def calm(self):
        self.free_disk()
        self.post("/_faults", [])
        # Rate limits of look-ups begin anew.
        self.stop()
        queue = f"http://{self.ours.admin}/api/queue?limit=1"
        wait_until("everything to be handed on", lambda: json.loads(get(queue)) == [], 900)


class Sender(threading.Thread):
    """Sends one message after the other, each to a recipient of its own; notes which got their 250."""

    def __init__(self, storm, name, until):
        super().__init__(daemon=True)
        self.storm, self.tag, self.until = storm, name, until
        self.accepted = {}

    def run(self):
        number = 0
        while time.monotonic() < self.until:
            number += 1
            to = f"{self.tag}-{number}@example.org"
            text = f"From: a@example.com\r\nTo: {to}\r\n\r\n" + "body\r\n" * (number % 5 * 4000)
            try:
                with smtplib.SMTP("127.0.0.1", self.storm.ours.port, timeout=10) as client:
                    client.ehlo()
                    client.mail("a@example.com")
                    client.rcpt(to)
                    code, said = client.data(text)
                    if code == 250:
                        self.accepted[to] = said.decode().split()[-1]
            except (OSError, smtplib.SMTPException):
                # Not told that it was taken: it may have been, or not.
                pass
            time.sleep(0.15)


def nothing_accepted_is_lost_or_repeated_unmarked_whatever_happens(binary):
    seconds = int(os.environ.get("CHAOS_SECONDS", "60"))
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1_000_000)))
    dice = random.Random(seed)
    with small_disk(64) as mount, tempfile.TemporaryDirectory() as home:
        storm = Storm(binary, mount, home, dice)
        until = time.monotonic() + seconds
        senders = [Sender(storm, f"s{index}", until) for index in range(3)]
        for sender in senders:
            sender.start()
        storm.blow(seconds)
        for sender in senders:
            sender.join()
        storm.calm()
        check(storm, senders, f"CHAOS_SEED={seed}")
        storm.ours.stop()
        storm.provider.stop()


def check(storm, senders, seed):
    accepted = {to: spool_id for sender in senders for to, spool_id in sender.accepted.items()}
    copies = collections.defaultdict(list)
    provider = Provider(storm.base)
    for delivery in provider.all():
        headers = email.message_from_bytes(provider.raw(delivery))
        for recipient in delivery["recipients"]:
            copies[recipient].append(headers["X-Gateway-Id"])
    lost = sorted(set(accepted) - set(copies))
    unmarked = []
    for recipient, ids in copies.items():
        for spool_id in {one for one in ids if ids.count(one) > 1}:
            trace = json.loads(get(f"http://{storm.ours.admin}/api/trace/{spool_id}"))
            if not trace["parts"][0]["possibly_duplicate"]:
                unmarked.append((recipient, spool_id))
    twice = sum(len(ids) > 1 for ids in copies.values())
    print(f"      {seed}: {dict(storm.told)}, {len(accepted)} accepted, {len(lost)} lost, {twice} twice,"
          f" {len(unmarked)} of them unmarked", flush=True)  # fmt: skip
    for recipient in lost[:3]:
        print(get(f"http://{storm.ours.admin}/api/trace/{accepted[recipient]}").decode())
    assert len(accepted) > 20, f"{seed}: only {len(accepted)} messages were accepted"
    assert not lost, f"{seed}: {len(lost)} of {len(accepted)} lost, such as {lost[:3]}"
    assert not unmarked, f"{seed}: repeated unmarked: {unmarked[:3]}"


def checks(binary):
    check = nothing_accepted_is_lost_or_repeated_unmarked_whatever_happens
    yield check.__name__, lambda: check(binary)
