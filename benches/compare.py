#!/usr/bin/env python3
"""Called by compare.sh: every server in turn, the same load (smtp-source), several rounds, medians.

Usage: compare.py GATEWAY mailin=PATH load=PATH [--rounds N] [--messages N]
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.append(str(pathlib.Path(__file__).parent.parent / "tests/clients"))
from postfix import Postfix, free_port, wait_for  # noqa: E402

KEY = "api-BENCH000000000000000000000000000"
ENVELOPE = ["-f", "a@example.com", "-t", "b@example.org"]
WORK = pathlib.Path("target/compare").absolute()


def fresh(name):
    directory = WORK / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def stat(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def family(pid):
    """The process and its children."""
    pids = [pid]
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and stat(entry)[0] == pid:
                pids.append(int(entry))
        except OSError:
            pass
    return pids


def cpu_seconds(pid):
    """Of the process, its living children, and those that have ended."""
    ticks = sum(stat(pid)[1])
    for child in family(pid)[1:]:
        try:
            ticks += sum(stat(child)[1][:2])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_kb(pid):
    total = 0
    for member in family(pid):
        try:
            rollup = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
        except OSError:
            pass
    return total


class Server:
    """Something that takes mail; `finish` waits until all of it is where it should be."""

    def __init__(self, name, stores):
        self.name, self.stores = name, stores
        self.rates = {"new": [], "kept": []}
        self.cpu, self.memory = [], 0

    def finish(self, count):
        pass

    def measure(self, count):
        self.start()
        try:
            for kind, flags in (("new", []), ("kept", ["-d"])):
                # What is made on first use is made before.
                self.load(200, flags)
                cpu, peak = cpu_seconds(self.pid), Peak(self.pid)
                began = time.monotonic()
                self.load(count, flags)
                self.rates[kind].append(count / (time.monotonic() - began))
                self.memory = max(self.memory, peak.stop())
                if kind == "kept":
                    self.cpu.append((cpu_seconds(self.pid) - cpu) / count * 1e6)
        finally:
            self.stop()

    def load(self, count, flags):
        self.prepare(count)
        subprocess.run(
            ["smtp-source", *flags, "-s", "20", "-l", "4096", "-m", str(count), *ENVELOPE,
             f"127.0.0.1:{self.port}"],
            check=True,
        )  # fmt: skip
        self.finish(count)

    def prepare(self, count):
        pass

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def rate(self, kind):
        return statistics.median(self.rates[kind])


class Peak:
    """The most memory seen, ten times a second."""

    def __init__(self, pid):
        self.pid, self.peak, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, resident_kb(self.pid))

    def stop(self):
        self.ended.set()
        self.thread.join()
        return max(self.peak, resident_kb(self.pid))


class Sink(Server):
    def start(self):
        self.port = free_port()
        command = ["smtp-sink", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"]
        self.process = subprocess.Popen(command)
        self.pid = self.process.pid
        wait_for(self.port)


class Mailin(Server):
    def __init__(self, name, stores, program):
        super().__init__(name, stores)
        self.program = program

    def start(self):
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen([self.program, address, fresh("mailin")])
        self.pid = self.process.pid
        wait_for(self.port)


class RealPostfix(Server):
    """Its log goes nowhere, which is to its advantage."""

    def __init__(self, name, stores, relays):
        super().__init__(name, stores)
        self.relays = relays
        self.sink = None

    def start(self):
        self.sink_port = free_port()
        settings = "default_process_limit = 100\n"
        settings += "" if self.relays else "defer_transports = smtp\n"
        self.postfix = Postfix(fresh("postfix"), self.sink_port, settings)
        self.port, self.pid = self.postfix.port, self.postfix.pid

    def prepare(self, count):
        if self.relays:
            # It ends when it has them all.
            self.sink = subprocess.Popen(
                ["smtp-sink", "-u", "nobody", "-M", str(count), f"127.0.0.1:{self.sink_port}", "1000"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(0.2)

    def load(self, count, flags):
        if not self.relays:
            return super().load(count, flags)
        self.prepare(count)
        # The sink's start is not Postfix's time.
        prepare, self.prepare = self.prepare, lambda count: None
        try:
            super().load(count, flags)
        finally:
            self.prepare = prepare

    def finish(self, count):
        if self.sink:
            self.sink.wait(300)

    def stop(self):
        self.postfix.stop()
        if self.sink and self.sink.poll() is None:
            self.sink.kill()
            self.sink.wait()


class Gateway(Server):
    def __init__(self, name, stores, program, forwards):
        super().__init__(name, stores)
        self.program, self.forwards = program, forwards
        self.simulator = None

    def start(self):
        home = fresh("gateway")
        self.port, self.admin = free_port(), free_port()
        settings = {
            "S2G__DATA_DIR": str(home),
            "S2G__LISTENERS__LAN__BIND": f"127.0.0.1:{self.port}",
            "S2G__ADMIN__BIND": f"127.0.0.1:{self.admin}",
            "S2G__LOG__FORMAT": "json",
            "S2G__ACCOUNTS__DEFAULT__API_URL": "http://127.0.0.1:1/v3",
            "SMTP2GO_API_KEY": KEY,
        }
        if self.forwards:
            api = free_port()
            cert, key = WORK / "cert.pem", WORK / "key.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                 "-addext", "basicConstraints=critical,CA:FALSE",
                 "-keyout", key, "-out", cert],
                check=True, capture_output=True,
            )  # fmt: skip
            self.simulator = subprocess.Popen(
                [self.program, "simulator", "--bind", f"127.0.0.1:{api}", "--api-key", KEY,
                 "--tls-cert", cert, "--tls-key", key],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            wait_for(api)
            settings["S2G__ACCOUNTS__DEFAULT__API_URL"] = f"https://localhost:{api}/v3"
            settings["S2G__FORWARD__CA_FILE"] = str(cert)
        with open(home / "log", "w") as log:
            self.process = subprocess.Popen([self.program, "run"], env=settings, stderr=log)
        self.pid = self.process.pid
        wait_for(self.port)
        wait_for(self.admin)
        self.sent = 0

    def finish(self, count):
        self.sent += count
        deadline = time.monotonic() + 300
        while self.forwards and self.accepted() < self.sent:
            assert time.monotonic() < deadline, f"{self.accepted()} of {self.sent} delivered"
            time.sleep(0.02)

    def accepted(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics") as page:
            found = re.search(
                r'^gateway_attempts_total\{outcome="accepted"\} (\d+)', page.read().decode(), re.M
            )
        return int(found[1]) if found else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if self.simulator:
            self.simulator.terminate()
            self.simulator.wait(60)


def table(servers, base, sink=None):
    head = ["", "stores", "messages/s, new connections", "kept connections", f"× {base.name.split(',')[0]}"]
    head += ["× smtp-sink"] if sink else []
    rows = [head + ["CPU µs each", "peak MB"]]
    for server in servers:
        ratios = [base] + ([sink] if sink else [])
        rows.append(
            [server.name, server.stores, f"{server.rate('new'):,.0f}", f"{server.rate('kept'):,.0f}"]
            + [" / ".join(f"{server.rate(k) / other.rate(k):.2f}" for k in ("new", "kept")) for other in ratios]
            + [f"{statistics.median(server.cpu):.0f}", f"{server.memory / 1000:.0f}"]
        )
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")
    print()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gateway")
    parser.add_argument("programs", nargs=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=12000)
    options = parser.parse_args()
    programs = dict(program.split("=", 1) for program in options.programs)
    gateway = os.path.abspath(options.gateway)

    sink = Sink("smtp-sink", "nothing")
    postfix = RealPostfix("Postfix, delivery deferred", "synced", relays=False)
    mailin = Mailin("mailin-embedded, a synced file each", "synced", programs["mailin"])
    accepting = Gateway("smtp2go-gateway, API out of reach", "synced", gateway, forwards=False)
    relaying = RealPostfix("Postfix to smtp-sink", "synced", relays=True)
    forwarding = Gateway("smtp2go-gateway to the API over HTTPS", "synced", gateway, forwards=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for _ in range(options.rounds):
        for server in (sink, postfix, mailin, accepting, relaying, forwarding):
            slow = isinstance(server, RealPostfix)
            server.measure(options.messages // 4 if slow else options.messages)

    cores = os.cpu_count()
    print(f"{time.strftime('%Y-%m-%d')}, {cores} cores shared by load, server and what is behind it; "
          f"messages of 4 KB, 20 at once; medians of {options.rounds} rounds.\n")  # fmt: skip
    print("Accepting:\n")
    table([sink, postfix, mailin, accepting], postfix, sink)
    print("End to end:\n")
    table([relaying, forwarding], relaying)
    subprocess.run([programs["load"], "big", "idle", "start"], check=True)
    shutil.rmtree(WORK)


main()
