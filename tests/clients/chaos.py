"""Everything goes wrong at once: kills, stops, reloads, cuts, refusals that show as events, mail that is taken in part,
records that leave things out, clock steps, outages, and a small disk that others fill.

What must hold all the same:
- What got its 250 is delivered to each recipient, whole, and twice only where the trace says so.
- Mail in doubt is looked up before each repeat, also when a repeat was deferred; while the records are complete it is
  found, whatever the clock does (but for a few).
- The answer to an attempt is never thrown away, however long the clock says that the attempt took.
- With a full disk mail still leaves, and a start succeeds; when it has left, mail is taken again.

CHAOS_SECONDS says for how long (60; an hour is 3600), CHAOS_SEED with which dice, CHAOS_PATIENCE how many seconds what
is left may take in the end. CHAOS_GATEWAY names another binary to be tried, such as an older one: the simulator is
always the one under test. Needs root and a C compiler."""

import collections
import email
import hashlib
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
    "S2G__FORWARD__ANSWER_TIMEOUT": "5s",
    "S2G__FORWARD__GIVE_UP_AFTER": "2h",
    # Less than a message more than the disk holds: it is full before the floor is reached, and above it again.
    "S2G__SPOOL__MIN_FREE_DISK": "8000000",
    "S2G__SYNC__ENABLED": "false",
}
FAULTS = [
    {"kind": "cut", "when": "before"},
    {"kind": "cut", "when": "after_body"},
    {"kind": "cut", "when": "after_accepting"},
    {"kind": "status", "status": 503, "body": "<html>busy</html>"},
    {"kind": "status", "status": 500},
    {"kind": "wrong_length"},
    {"kind": "delay", "ms": 1500},
    {"kind": "partly", "text": "later - Code(451)"},
    {"kind": "refuse", "text": "later - Code(451)", "recorded": True},
    {"kind": "refuse", "text": "later - Code(451)", "recorded": True, "unheard": True},
]
SEARCH_FAULTS = FAULTS[:6]
OMISSIONS = [["recipient"], ["events"], ["custom_headers"]]
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
        # For a third of the time the provider's records leave things out.
        self.blind = True
        self.thrown_away = 0
        # What got its 250 outside the senders.
        self.accepted = {}
        self.start()

    def set_clock(self, seconds):
        # Written in place: the file is mapped into the gateway.
        if not self.clock.exists():
            self.clock.write_bytes(struct.pack("q", 0))
        with self.clock.open("r+b") as clock:
            clock.write(struct.pack("q", seconds))

    def start(self):
        if self.ours:
            self.thrown_away += self.ours.read_log().count("not in the expected state")
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
        try:
            if self.dice.random() < 0.5:
                # It starts all the same.
                self.kill()
            if self.dice.random() < 0.3:
                self.post("/_faults", [])
                self.wait_for_those_that_wait()
            else:
                time.sleep(1)
        finally:
            self.free_disk()

    def fill_disk_while_stopped(self):
        """Others take the last octet while mail waits in a spool that is closed."""
        self.fail_calls()
        time.sleep(1)
        self.ours.stop()
        fill(self.mount)
        try:
            self.start()
            self.post("/_faults", [])
            self.wait_for_those_that_wait()
        finally:
            self.free_disk()

    def free_disk(self):
        pathlib.Path(self.mount, "ballast").unlink(missing_ok=True)

    def outage(self):
        """As much mail waits as the disk takes."""
        self.fail_calls()
        for number in range(40):
            to = f"big-{len(self.accepted)}-{number}@example.org"
            spool_id = send(self.ours.port, [to], message(to, 300_000))
            if spool_id is None:
                break
            self.accepted[to] = spool_id
        self.post("/_faults", [])

    def fail_calls(self):
        self.post("/_faults", [{"endpoint": "/email/mime", "times": 10_000, "fault": FAULTS[3]}])

    def break_calls(self):
        script = [
            {"endpoint": "/email/mime", "times": self.dice.randint(1, 2), "fault": fault}
            for fault in self.dice.sample(FAULTS, 3)
        ]
        if self.dice.random() < 0.2:
            script.append({"endpoint": "/activity/search", "fault": self.dice.choice(SEARCH_FAULTS)})
        if self.blind and self.dice.random() < 0.7:
            fault = {"kind": "omit", "members": self.dice.choice(OMISSIONS)}
            script.append({"endpoint": "/activity/search", "times": 2, "fault": fault})
        self.post("/_faults", script)

    def post(self, path, value):
        request = urllib.request.Request(
            f"{self.base}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def blow(self, seconds):
        blows = [self.kill, self.stop, self.reload, self.step_clock, self.fill_disk, self.outage,
                 self.fill_disk_while_stopped]  # fmt: skip
        weights = [3, 3, 2, 4, 2, 1, 1]
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            self.blind = time.monotonic() < began + seconds / 3
            self.break_calls()
            time.sleep(self.dice.uniform(0.3, 1.5))
            [blow] = self.dice.choices(blows, weights)
            self.told[blow.__name__] += 1
            blow()

    def calm(self):
        self.free_disk()
        self.post("/_faults", [])
        # Rate limits of look-ups begin anew.
        self.stop()
        self.wait_for_empty_queue("everything to be handed on")
        last = "last@example.org"
        wait_until("mail to be taken again", lambda: send(self.ours.port, [last], message(last)), 30)
        self.wait_for_empty_queue("the last message to be handed on")

    def wait_for_those_that_wait(self):
        """More may come all the while: there may be room inside the database."""
        waiting = {row["id"] for row in self.queue(1000)}

        def have_left():
            for spool_id in sorted(waiting):
                states = {dispatch["state"] for dispatch in self.trace(spool_id)["dispatches"]}
                # Look-ups are so many a minute.
                if states & {"queued", "in_flight"}:
                    return False
                waiting.discard(spool_id)
            return True

        self.wait("mail to leave a full disk", have_left, waiting)

    def wait_for_empty_queue(self, what):
        def is_empty():
            rows = self.queue(100)
            # What was taken in part, and could not be found, is for a person to decide.
            for row in rows[:10]:
                states = {dispatch["state"] for dispatch in self.trace(row["id"])["dispatches"]}
                if "held" in states:
                    self.told["release"] += 1
                    order(self.ours, row["id"], "release")
            return rows == []

        self.wait(what, is_empty)

    def wait(self, what, look, waiting=()):
        try:
            wait_until(what, look, int(os.environ.get("CHAOS_PATIENCE", "900")))
        except AssertionError:
            for spool_id in sorted(waiting)[:3] or [row["id"] for row in self.queue(3)]:
                print(json.dumps(self.trace(spool_id)))
            print("\n".join(self.ours.read_log().splitlines()[-20:]))
            subprocess.run(["ls", "-la", self.mount, f"{self.mount}/spool"])
            raise

    def queue(self, limit):
        return json.loads(get(f"http://{self.ours.admin}/api/queue?limit={limit}"))

    def trace(self, spool_id):
        return json.loads(get(f"http://{self.ours.admin}/api/trace/{spool_id}"))


def order(ours, spool_id, word):
    url = f"http://{ours.admin}/api/queue/{spool_id}/{word}"
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=PATIENCE).close()


def message(to, lines=0):
    """With a digest of its body."""
    body = f"{to}\r\n" * lines
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"From: a@example.com\r\nTo: {to}\r\nX-Digest: {digest}\r\n\r\n{body}"


def is_whole(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    return f"X-Digest: {hashlib.sha256(body).hexdigest()}".encode() in head


def send(port, recipients, text):
    """The message's id where it was accepted; else it may have been, or not."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo()
            client.mail("a@example.com")
            for recipient in recipients:
                client.rcpt(recipient)
            code, said = client.data(text)
            return said.decode().split()[-1] if code == 250 else None
    except (OSError, smtplib.SMTPException):
        return None


class Sender(threading.Thread):
    """Sends one message after the other, to recipients of its own, one of them hidden now and then; notes which got
    their 250, and which of them while the records were complete."""

    def __init__(self, storm, name, until):
        super().__init__(daemon=True)
        self.storm, self.tag, self.until = storm, name, until
        self.accepted = {}
        self.in_sight = set()

    def run(self):
        number = 0
        while time.monotonic() < self.until:
            number += 1
            to = f"{self.tag}-{number}@example.org"
            recipients = [to, f"hidden-{to}"] if number % 4 == 0 else [to]
            blind = self.storm.blind
            text = message(to, number % 5 * 1000)
            spool_id = send(self.storm.ours.port, recipients, text)
            if spool_id:
                self.accepted.update(dict.fromkeys(recipients, spool_id))
                if not blind:
                    self.in_sight.update(recipients)
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
    accepted = dict(storm.accepted)
    for sender in senders:
        accepted.update(sender.accepted)
    copies = collections.defaultdict(list)
    provider = Provider(storm.base)
    broken = []
    for delivery in provider.all():
        raw = provider.raw(delivery)
        if not is_whole(raw):
            broken.append(delivery["email_id"])
        headers = email.message_from_bytes(raw)
        for recipient in delivery["recipients"]:
            copies[recipient].append(headers["X-Gateway-Id"])
    lost = sorted(set(accepted) - set(copies))
    traces = {}
    for spool_id in set(accepted.values()):
        traces[spool_id] = storm.trace(spool_id)
    twice = {to for to, ids in copies.items() if any(ids.count(one) > 1 for one in set(ids))}
    twice &= set(accepted)
    unmarked = [to for to in twice if not is_marked(traces[accepted[to]], to)]
    in_sight = set().union(*(sender.in_sight for sender in senders))
    not_seen = sorted(twice & in_sight)
    unasked = sorted(spool_id for spool_id, trace in traces.items() if repeats_unasked(trace))
    thrown_away = storm.thrown_away + storm.ours.read_log().count("not in the expected state")
    print(f"      {seed}: {dict(storm.told)}, {len(accepted)} accepted, {len(lost)} lost, {len(twice)} twice,"
          f" {len(unmarked)} of them unmarked, {len(not_seen)} though listed,"
          f" {len(unasked)} repeated unasked, {thrown_away} answers thrown away", flush=True)  # fmt: skip
    for spool_id in [*(accepted[to] for to in lost[:2]), *unasked[:2], *(accepted[to] for to in not_seen[:2])]:
        print(json.dumps(traces[spool_id]))
    assert len(accepted) > 20, f"{seed}: only {len(accepted)} messages were accepted"
    assert len(in_sight) > 10, f"{seed}: only {len(in_sight)} messages were accepted while records were complete"
    assert not broken, f"{seed}: not as they were sent: {broken[:3]}"
    assert not lost, f"{seed}: {len(lost)} of {len(accepted)} lost, such as {lost[:3]}"
    assert not unmarked, f"{seed}: repeated unmarked: {unmarked[:3]}"
    assert not unasked, f"{seed}: repeated without a look-up: {unasked[:3]}"
    # An answer of the search may come before the mail does, on a busy machine.
    limit = max(2, len(in_sight) // 100)
    assert len(not_seen) <= limit, f"{seed}: repeated though the provider listed it: {not_seen}"
    assert not thrown_away, f"{seed}: {thrown_away} answers of the provider thrown away"


def is_marked(trace, recipient):
    return any(
        dispatch["possibly_duplicate"]
        for dispatch in trace["dispatches"]
        if recipient in dispatch["recipients"]
    )


def repeats_unasked(trace):
    """Whether an attempt followed one of open outcome without a look-up between them."""
    for number in range(len(trace["dispatches"])):
        last, is_open, asked = 0, False, False
        for event in trace["events"]:
            if event["dispatch"] != number:
                continue
            kind, attempt = event["event"], event["attempt"]
            if kind in ("accepted", "deferred", "bounced", "unknown", "interrupted") and attempt > last:
                if is_open and not asked:
                    return True
                last, asked = attempt, False
                is_open |= kind in ("unknown", "interrupted")
            elif kind == "not_found":
                asked = True
            elif kind == "deferred":
                # The look-up, or a late answer, says that it was refused.
                is_open = False
    return False


def checks(binary):
    check = nothing_accepted_is_lost_or_repeated_unmarked_whatever_happens
    yield check.__name__, lambda: check(binary)
