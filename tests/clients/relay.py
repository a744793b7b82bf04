"""A real mail server in front: Postfix relays through the gateway, while the provider is killed."""

import collections
import email
import json
import os
import random
import smtplib
import tempfile

from harness import PATIENCE, Provider, gateway, get, simulator, wait_until
from postfix import Postfix

MESSAGES = 1000


def message(number, dice, envelope):
    """Headers that name anybody but reliably the envelope."""
    pool = [f"r{n}@example.org" for n in range(40)]
    lines = ["From: a@example.com", f"X-Number: {number}", f"Subject: {number}"]
    for name in ("To", "Cc"):
        named = dice.sample(pool, dice.randint(0, 4)) + dice.sample(envelope, dice.randint(0, 1))
        if named:
            lines.append(f"{name}: {', '.join(named)}")
    return "\r\n".join([*lines, "", "body " * dice.randint(1, 2000), ""])


def postfix_relays_a_thousand_messages_while_the_provider_is_killed(binary):
    dice = random.Random(20261124)
    with tempfile.TemporaryDirectory() as home:
        state = f"{home}/state"
        provider = simulator(binary, "--state", state)
        address = provider.found[0].removeprefix("http://")
        os.mkdir(f"{home}/spool")
        ours = gateway(
            binary, f"{home}/spool", f"http://{address}/v3",
            {"S2G__FORWARD__RETRY_FIRST": "200ms", "S2G__FORWARD__RETRY_MAX": "1s",
             "S2G__FORWARD__CONFIRM_AFTER": "300ms",
             # Every attempt that a kill cuts off is looked up twice, and only 50 look-ups a minute are made.
             "S2G__FORWARD__CONCURRENCY": "4"},
        )  # fmt: skip
        os.mkdir(f"{home}/postfix")
        postfix = Postfix(f"{home}/postfix", ours.port, "minimal_backoff_time = 1s")
        sent = set()
        try:
            with smtplib.SMTP("127.0.0.1", postfix.port, timeout=PATIENCE) as client:
                for number in range(MESSAGES):
                    count = dice.randint(1, 8)
                    envelope = dice.sample([f"r{n}@example.org" for n in range(60)], count)
                    client.sendmail("a@example.com", envelope, message(number, dice, envelope))
                    sent |= {(number, recipient) for recipient in envelope}
                    if number % 250 == 200:
                        provider.kill()
                        provider = simulator(binary, "--state", state, bind=address)
            wait_until("Postfix to hand on everything", lambda: postfix.flush() or postfix.is_empty())
            queue = f"http://{ours.admin}/api/queue?limit=1"
            wait_until("the gateway to hand on everything", lambda: json.loads(get(queue)) == [], 300)
        finally:
            postfix.stop()
        check_delivered(Provider(f"http://{address}"), ours, sent)
        ours.stop()
        provider.stop()


def check_delivered(provider, ours, sent):
    copies = collections.defaultdict(list)
    for delivery in provider.all():
        headers = email.message_from_bytes(provider.raw(delivery))
        for recipient in delivery["recipients"]:
            copies[int(headers["X-Number"]), recipient].append(headers["X-Gateway-Id"])
    assert set(copies) == sent, (
        f"{len(sent - set(copies))} missing, {len(set(copies) - sent)} too many"
    )
    for (number, recipient), ids in copies.items():
        if len(ids) > 1:
            trace = json.loads(get(f"http://{ours.admin}/api/trace/{ids[0]}"))
            marked = [part for part in trace["dispatches"] if recipient in part["recipients"]]
            assert marked[0]["possibly_duplicate"], f"message {number} to {recipient} twice"


def checks(binary):
    check = postfix_relays_a_thousand_messages_while_the_provider_is_killed
    yield check.__name__, lambda: check(binary)
