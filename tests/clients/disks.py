"""Disks that fill up, turn read-only or fail to sync: 4xx for the device, nothing half-accepted, and recovery
without a restart. Needs root, for file systems of its own, and a C compiler."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import smtplib
import sqlite3
import subprocess
import tempfile

from harness import PATIENCE, Provider, gateway, get, simulator, wait_until

HERE = pathlib.Path(__file__).parent
NOBODY = "http://127.0.0.1:1/v3"


@contextlib.contextmanager
def small_disk(megabytes):
    """A file system of its own, of this size."""
    with tempfile.TemporaryDirectory() as mount:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "small", mount], check=True
        )
        try:
            yield mount
        finally:
            subprocess.run(["umount", "--lazy", mount], check=True)


class Sender:
    """Sends numbered messages and remembers which got their 250."""

    def __init__(self, port):
        self.port, self.number, self.accepted, self.refused = port, 0, set(), set()

    def send(self, octets=300):
        """The reply's code."""
        self.number += 1
        text = f"From: a@example.com\r\nTo: b@example.org\r\nX-Number: {self.number}\r\n\r\n"
        text += ("y" * 70 + "\r\n") * (octets // 72)
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
                client.sendmail("a@example.com", ["b@example.org"], text)
        except smtplib.SMTPResponseException as error:
            self.refused.add(self.number)
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            self.refused.add(self.number)
            return next(iter(error.recipients.values()))[0]
        self.accepted.add(self.number)
        return 250


def check_delivered(binary, data_dir, sender):
    """A new process on the same spool delivers what was accepted; of what was refused, nothing."""
    provider = simulator(binary)
    ours = gateway(binary, data_dir, f"{provider.found[0]}/v3")
    deliveries = Provider(provider.found[0])
    queue = f"http://{ours.admin}/api/queue?limit=1"
    wait_until("the queue to be empty", lambda: json.loads(get(queue)) == [])
    numbers = []
    for delivery in deliveries.all():
        raw = deliveries.raw(delivery)
        numbers.append(int(raw.split(b"X-Number: ")[1].split(b"\r\n")[0]))
    assert sorted(numbers) == sorted(sender.accepted), (sorted(numbers), sorted(sender.accepted))
    ours.stop()
    provider.stop()


def a_full_disk_is_a_452_and_mail_is_taken_again_when_there_is_room(binary):
    with small_disk(24) as mount:
        # The floor would answer first; here the disk itself shall be full.
        ours = gateway(binary, f"{mount}/spool", NOBODY, {"S2G__SPOOL__MIN_FREE_DISK": "0"})
        sender = Sender(ours.port)
        ballast = pathlib.Path(mount, "ballast")
        ballast.write_bytes(b"0" * 8_000_000)
        codes = {sender.send(1_000_000) for _ in range(30)}
        assert codes == {250, 452}, codes
        assert sender.send(2_000_000) == 452
        ballast.unlink()
        wait_until("mail to be taken again", lambda: sender.send(1_000_000) == 250)
        ours.stop()
        check_delivered(binary, f"{mount}/spool", sender)


def a_disk_that_others_filled_stops_neither_hand_over_nor_a_start(binary):
    with small_disk(24) as mount:
        provider = simulator(binary)
        url = f"{provider.found[0]}/v3"
        ours = gateway(binary, f"{mount}/spool", NOBODY, {"S2G__SPOOL__MIN_FREE_DISK": "0"})
        sender = Sender(ours.port)
        for _ in range(6):
            assert sender.send(500_000) == 250
        ours.kill()
        fill(mount)
        ours = gateway(binary, f"{mount}/spool", url, {"S2G__SPOOL__MIN_FREE_DISK": "0"})
        queue = f"http://{ours.admin}/api/queue?limit=1"
        wait_until("the queue to be empty", lambda: json.loads(get(queue)) == [])
        assert len(Provider(provider.found[0]).all()) == 6
        ours.stop()
        provider.stop()


def a_disk_of_its_own_is_never_filled_and_serves_again_after_an_outage(binary):
    with small_disk(250) as mount:
        provider = simulator(binary)
        address = provider.found[0].removeprefix("http://")
        provider.stop()
        ours = gateway(binary, f"{mount}/spool", f"http://{address}/v3")
        senders = [Sender(ours.port) for _ in range(16)]
        def pump(sender):
            for _ in range(4):
                sender.send(8_000_000)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(pump, senders))
        state = os.statvfs(mount)
        free = state.f_bavail * state.f_frsize
        assert free > 30_000_000, f"{free} octets left"
        provider = simulator(binary, bind=address)
        queue = f"http://{ours.admin}/api/queue?limit=1"
        wait_until("the queue to be empty", lambda: json.loads(get(queue)) == [])
        accepted = sum(len(sender.accepted) for sender in senders)
        assert len(Provider(provider.found[0]).all()) == accepted > 5, accepted
        for _ in range(30):
            wait_until("mail to be taken again", lambda: senders[0].send(8_000_000) == 250)
        ours.stop()
        provider.stop()


def fill(mount):
    """To the last octet."""
    ballast = open(f"{mount}/ballast", "wb", buffering=0)
    with contextlib.suppress(OSError):
        while ballast.write(b"0" * 4096):
            pass


def below_the_floor_mail_is_refused_before_its_content(binary):
    with small_disk(24) as mount:
        ours = gateway(binary, f"{mount}/spool", NOBODY, {"S2G__SPOOL__MIN_FREE_DISK": "20000000"})
        sender = Sender(ours.port)
        ballast = pathlib.Path(mount, "ballast")
        ballast.write_bytes(b"0" * 8_000_000)
        with smtplib.SMTP("127.0.0.1", ours.port, timeout=PATIENCE) as client:
            client.ehlo()
            wait_until("452 at MAIL", lambda: client.mail("a@example.com")[0] == 452 or client.rset() is None)
        ballast.unlink()
        wait_until("mail to be taken again", lambda: sender.send() == 250)
        ours.stop()


def files_that_may_not_grow_are_a_452_and_mail_is_taken_again_when_they_may(binary):
    with small_disk(64) as mount:
        ours = gateway(binary, f"{mount}/spool", NOBODY, {"S2G__SPOOL__MIN_FREE_DISK": "0"})
        sender = Sender(ours.port)
        assert sender.send() == 250
        limit = ["prlimit", "--pid", str(ours.process.pid)]
        subprocess.run([*limit, "--fsize=1:unlimited"], check=True)
        assert sender.send() == 452 and sender.send(500_000) == 452
        subprocess.run([*limit, "--fsize=unlimited:unlimited"], check=True)
        wait_until("mail to be taken again", lambda: sender.send() == 250)
        ours.stop()
        check_delivered(binary, f"{mount}/spool", sender)


def a_read_only_disk_is_a_452_and_mail_is_taken_again_when_it_is_writable(binary):
    with tempfile.TemporaryDirectory() as home:
        shim, switch = shim_in(home)
        ours = gateway(
            binary, f"{home}/spool", NOBODY, {"LD_PRELOAD": shim, "READ_ONLY": str(switch)}
        )
        sender = Sender(ours.port)
        assert sender.send() == 250
        switch.touch()
        assert {sender.send() for _ in range(3)} == {452}
        assert sender.send(500_000) == 452
        switch.unlink()
        wait_until("mail to be taken again", lambda: sender.send(500_000) == 250)
        ours.stop()
        check_delivered(binary, f"{home}/spool", sender)


def shim_in(home):
    """A library that makes writes or syncs fail while a file exists, and that file."""
    shim = f"{home}/failing_disk.so"
    source = HERE / "failing_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    return shim, pathlib.Path(home, "failing")


def a_failing_sync_is_a_452_and_mail_is_taken_again_when_it_works(binary):
    with tempfile.TemporaryDirectory() as home:
        shim, switch = shim_in(home)
        ours = gateway(
            binary, f"{home}/spool", NOBODY, {"LD_PRELOAD": shim, "SYNC_FAILS": str(switch)}
        )
        sender = Sender(ours.port)
        assert sender.send() == 250
        switch.touch()
        assert {sender.send() for _ in range(5)} == {452}
        assert sender.send(500_000) == 452
        switch.unlink()
        wait_until("mail to be taken again", lambda: sender.send(500_000) == 250)
        assert sender.send() == 250
        ours.kill()
        check_delivered(binary, f"{home}/spool", sender)


def a_disk_that_cannot_be_read_is_not_called_damaged_and_serves_again_when_it_can(binary):
    with tempfile.TemporaryDirectory() as home:
        shim, switch = shim_in(home)
        ours = gateway(
            binary, f"{home}/spool", NOBODY, {"LD_PRELOAD": shim, "READ_FAILS": str(switch)}
        )
        sender = Sender(ours.port)
        # More than is remembered, so that the disk is asked.
        assert [sender.send(200_000) for _ in range(100)] == [250] * 100
        switch.touch()
        wait_until("the disk to be asked", lambda: "can't be read" in ours.read_log())
        assert sender.send(500_000) in (250, 452)
        # Whoever looks for the reason must not give up the lock: no second process may come in.
        with contextlib.closing(sqlite3.connect(f"{home}/spool/spool.db", timeout=0)) as other:
            try:
                other.execute("BEGIN EXCLUSIVE")
                raise AssertionError("the database is not locked any more")
            except sqlite3.OperationalError as error:
                assert "locked" in str(error), error
        switch.unlink()
        wait_until("mail to be taken again", lambda: sender.send(500_000) == 250)
        metrics = get(f"http://{ours.admin}/metrics").decode()
        held = [line for line in metrics.splitlines() if "queue_dispatches" in line and "held" in line]
        assert all(line.endswith(" 0") for line in held), held
        ours.stop()
        assert "damaged" not in ours.read_log()
        check_delivered(binary, f"{home}/spool", sender)


def one_bad_sector_keeps_back_one_message(binary):
    with tempfile.TemporaryDirectory() as home:
        shim, switch = shim_in(home)
        settings = {"LD_PRELOAD": shim, "READ_FAILS": str(switch), "S2G__FORWARD__RETRY_MAX": "500ms"}
        ours = gateway(binary, f"{home}/spool", NOBODY, settings)
        sender = Sender(ours.port)
        # Large enough that the start does not check every page.
        assert [sender.send(30_000), *(sender.send(1_000_000) for _ in range(40))] == [250] * 41
        ours.stop()
        database = pathlib.Path(home, "spool", "spool.db").read_bytes()
        # In the middle of the first message.
        page = database.find(b"y" * 70, database.find(b"y" * 70) + 12_000) // 8192 * 8192
        switch.write_text(f"{page} {page + 8192}")
        provider = simulator(binary)
        ours = gateway(binary, f"{home}/spool", f"{provider.found[0]}/v3", settings)
        deliveries = Provider(provider.found[0])
        wait_until("the others to be delivered", lambda: len(deliveries.all()) == 40)
        wait_until("a word of the disk", lambda: "can't be read now" in ours.read_log())
        rows = json.loads(get(f"http://{ours.admin}/api/queue"))
        states = [json.loads(get(f"http://{ours.admin}/api/trace/{row['id']}"))["dispatches"][0]["state"] for row in rows]
        assert states == ["queued"], states
        ours.stop()
        provider.stop()
        switch.unlink()
        sender.accepted = {1}
        check_delivered(binary, f"{home}/spool", sender)


def checks(binary):
    if os.geteuid() != 0:
        raise SystemExit("the disks need root")
    for check in (
        a_full_disk_is_a_452_and_mail_is_taken_again_when_there_is_room,
        a_disk_that_others_filled_stops_neither_hand_over_nor_a_start,
        a_disk_of_its_own_is_never_filled_and_serves_again_after_an_outage,
        below_the_floor_mail_is_refused_before_its_content,
        files_that_may_not_grow_are_a_452_and_mail_is_taken_again_when_they_may,
        a_read_only_disk_is_a_452_and_mail_is_taken_again_when_it_is_writable,
        a_failing_sync_is_a_452_and_mail_is_taken_again_when_it_works,
        a_disk_that_cannot_be_read_is_not_called_damaged_and_serves_again_when_it_can,
        one_bad_sector_keeps_back_one_message,
    ):
        yield check.__name__, lambda check=check: check(binary)
