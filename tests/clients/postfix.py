"""A Postfix of our own on loopback, with a configuration and a queue of its own. Needs root."""

import pathlib
import shutil
import socket
import subprocess
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Postfix:
    """Relays everything to `relay_port`. Its log goes nowhere."""

    def __init__(self, home, relay_port, settings=""):
        home = pathlib.Path(home).absolute()
        for parent in [home, *home.parents]:
            # Its daemons run as another user, and must reach the queue.
            parent.chmod(parent.stat().st_mode | 0o011)
        self.config, data = home / "etc", home / "data"
        self.config.mkdir()
        data.mkdir()
        shutil.chown(data, "postfix")
        self.port = free_port()
        (self.config / "main.cf").write_text(
            f"""compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
relayhost = [127.0.0.1]:{relay_port}
{settings}
"""
        )
        services = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            service = line.split()
            if len(service) == 8 and not line.startswith("#") and service[1] != "inet":
                service[4] = "n"  # no chroot
                services.append(" ".join(service))
        (self.config / "master.cf").write_text("\n".join(services) + "\n")
        (home / "queue").mkdir()
        subprocess.run(["postfix", "-c", self.config, "start"], check=True, capture_output=True)
        wait_for(self.port)
        self.pid = int((home / "queue/pid/master.pid").read_text())

    def flush(self):
        subprocess.run(["postqueue", "-c", self.config, "-f"], check=True)

    def is_empty(self):
        listed = subprocess.run(
            ["postqueue", "-c", self.config, "-j"], check=True, capture_output=True, text=True
        )
        return not listed.stdout.strip()

    def stop(self):
        subprocess.run(["postfix", "-c", self.config, "stop"], check=True, capture_output=True)
