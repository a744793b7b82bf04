"""The command line as a person sees it: on a terminal, with a window of a certain width."""

import fcntl
import json
import os
import pty
import select
import struct
import termios
import time

from harness import KEY, PATIENCE, Provider, run, simulator


def on_terminal(binary, api_url, words, typed="", columns=80):
    """Runs a command on a terminal of its own; returns its exit code and what it showed."""
    child, screen = pty.fork()
    if child == 0:
        os.environ["SMTP2GO_API_KEY"] = KEY
        os.environ["S2G__ACCOUNTS__DEFAULT__API_URL"] = api_url
        os.execv(binary, [binary, "api", *words])
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ready, _, _ = select.select([screen], [], [], 0.2)
        if ready:
            try:
                octets = os.read(screen, 65536)
            except OSError:
                break  # The other end is closed.
            if not octets:
                break
            shown += octets
        if typed and shown.endswith(b"[y/N] "):
            os.write(screen, typed.encode())
            typed = ""
    _, status = os.waitpid(child, 0)
    os.close(screen)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


class World:
    def __init__(self, binary):
        self.binary = binary
        self.simulator = simulator(binary)
        self.api_url = self.simulator.found[0] + "/v3"
        self.provider = Provider(self.simulator.found[0])

    def api(self, line, **options):
        return on_terminal(self.binary, self.api_url, line.split(), **options)

    def quietly(self, line):
        environment = {
            **os.environ,
            "SMTP2GO_API_KEY": KEY,
            "S2G__ACCOUNTS__DEFAULT__API_URL": self.api_url,
        }
        return run(self.binary, "api", *line.split(), env=environment)


def check_tables_fit_the_window(world):
    world.quietly("ip-allow-list add --ip_address 192.0.2.0/24 --description " + "x" * 60)
    code, wide = world.api("ip-allow-list view", columns=120)
    assert code == 0 and "IP_ADDRESS" in wide and "x" * 40 in wide, wide
    # A window that is told its size late shows the default; the size is set before the answer comes.
    code, narrow = world.api("ip-allow-list view", columns=40)
    assert code == 0 and "…" in narrow, narrow
    assert max(map(len, narrow.splitlines())) <= 40, narrow


def check_json_is_json_on_a_terminal_too(world):
    code, shown = world.api("ip-allow-list view --json")
    assert code == 0 and isinstance(json.loads(shown), dict), shown


def check_taking_away_is_asked_about(world):
    world.quietly("suppression add --email_address gone@example.org")
    code, shown = world.api("suppression remove --email_address gone@example.org --reasons manual", typed="n\n")
    assert code == 1 and "Really? [y/N]" in shown and "nothing was done" in shown, shown
    assert "gone@example.org" in world.quietly("suppression view")
    code, shown = world.api("suppression remove --email_address gone@example.org --reasons manual", typed="y\n")
    assert code == 0, shown
    assert "gone@example.org" not in world.quietly("suppression view")


def check_long_work_shows_progress_and_counts_show_bars(world):
    for number in range(12):
        world.quietly(
            f"email send --sender a@example.com --to r{number}@example.org --subject s --text_body x"
        )
    code, shown = world.api("activity search --limit 5 --all")
    assert code == 0 and "] 10 of 12" in shown and "] 12 of 12" in shown, shown
    code, shown = world.api("stats history")
    assert code == 0 and "█" in shown, shown


def checks(binary):
    def once(check):
        world = World(binary)
        try:
            check(world)
        finally:
            world.simulator.stop()

    for name, check in list(globals().items()):
        if name.startswith("check_"):
            yield f"terminal: {name.removeprefix('check_')}", lambda check=check: once(check)
