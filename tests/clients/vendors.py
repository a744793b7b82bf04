"""Other people's clients of the API against the simulator, and its answers against the description of the API.

The clients come from their package registries: smtp2go and apprise (Python), smtp2go-nodejs (Node)."""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import walk
from harness import KEY, PATIENCE, Provider, run, simulator

HERE = pathlib.Path(__file__).parent
HOME = HERE.parent.parent / "target/vendors"
PYTHON = ["smtp2go==2.3.1", "apprise==2.3.0", "jsonschema==4.26.0"]
NODE = "smtp2go-nodejs@0.3.6"


def python():
    """An interpreter that has the Python clients."""
    program = HOME / "python/bin/python"
    if not program.exists():
        run(sys.executable, "-m", "venv", str(HOME / "python"))
        run(str(program), "-m", "pip", "install", "--quiet", *PYTHON)
    return str(program)


def node_modules():
    modules = HOME / "node/node_modules"
    if not (modules / "smtp2go-nodejs").exists():
        (HOME / "node").mkdir(parents=True, exist_ok=True)
        # Its package lists what its own build needs among what it needs; only axios is used.
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(HOME / "node"), NODE)
    return str(modules)


def run_python(text, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return run(python(), "-c", text, *arguments, env=environment)


def the_vendors_python_client_sends_and_is_refused(binary):
    provider = simulator(binary)
    base = provider.found[0]
    out = run_python(
        """
import logging, sys
from smtp2go import core
logging.disable()
core.API_ROOT = sys.argv[1] + "/v3/"
client = core.Smtp2goClient(sys.argv[2])
mail = {"recipients": ["Ann <ann@example.org>"], "subject": "hello", "text": "from python"}
sent = client.send("shop@example.com", custom_headers={"X-Shop": "7"}, **mail)
assert sent.success and sent.status_code == 200 and sent.request_id, sent.json
refused = client.send("shop@unverified.example", **mail)
assert not refused.success and "not verified" in refused.errors[0], refused.json
stranger = core.Smtp2goClient("api-" + "X" * 32).send("shop@example.com", **mail)
assert not stranger.success and stranger.status_code == 401, stranger.json
""",
        base, KEY,
    )  # fmt: skip
    (delivery,) = Provider(base).next()
    assert delivery["recipients"] == ["ann@example.org"], out
    assert delivery["message"]["X-Shop"] == "7"
    assert "from python" in delivery["message"].get_content()
    provider.stop()


def apprise_notifies_through_the_api(binary):
    provider = simulator(binary)
    base = provider.found[0]
    run_python(
        """
import sys
import apprise
from apprise.plugins.smtp2go import NotifySMTP2Go
NotifySMTP2Go.notify_url = sys.argv[1] + "/v3/email/send"
notifier = apprise.Apprise()
assert notifier.add(f"smtp2go://ups@example.com/{sys.argv[2]}/ops@example.org")
assert notifier.notify(title="on battery", body="12 minutes left")
""",
        base, KEY,
    )  # fmt: skip
    (delivery,) = Provider(base).next()
    assert delivery["recipients"] == ["ops@example.org"]
    assert delivery["message"]["Subject"] == "on battery"
    provider.stop()


def the_vendors_node_client_reaches_every_operation(binary):
    provider = simulator(binary)
    base = provider.found[0]
    client = subprocess.Popen(
        ["node", str(HERE / "node_walk.js"), base, KEY],
        env={**os.environ, "NODE_PATH": node_modules()},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    known, count = {}, 0
    for method, path, request in walk.steps(soon()):
        if method == "GET":
            continue
        step = {"method": method, "path": path, "request": walk.filled(request, known)}
        client.stdin.write(json.dumps(step) + "\n")
        client.stdin.flush()
        answer = json.loads(client.stdout.readline())
        assert "answer" in answer, (method, path, answer)
        walk.remember(known, path, answer["answer"]["data"])
        count += 1
    client.stdin.close()
    assert client.wait(PATIENCE) == 0
    assert count == 77, count
    sent = Provider(base).next(3)
    assert {delivery["recipients"][0] for delivery in sent} == {"b@example.org"}
    provider.stop()


def soon():
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
    return at.strftime("%Y-%m-%d %H:%M:%S +0000")


def call(base, method, path, request):
    """Status and JSON of an answer."""
    asked = urllib.request.Request(
        f"{base}/v3{path}", method=method,
        data=None if method == "GET" else json.dumps(request).encode(),
        headers={"X-Smtp2go-Api-Key": KEY, "Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def every_answer_fits_the_description_of_the_api(binary):
    provider = simulator(binary)
    base, known, answers = provider.found[0], {}, []
    for method, path, request in walk.steps(soon()):
        status, answer = call(base, method, path, walk.filled(request, known))
        assert status == 200, (method, path, answer)
        walk.remember(known, path, answer["data"])
        answers.append((method.lower(), path, "200", answer))
    for path, request in (("/domain/add", {}), ("/users/smtp/remove", {"username": "nobody"})):
        status, answer = call(base, "POST", path, request)
        answers.append(("post", path, str(status), answer))
    status, answer = call(base, "POST", "/users/smtp/view", {"username": 7})
    fields = answer["data"]["field_validation_errors"]
    assert status == 400 and fields["fieldname"] == "username", answer
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(answers, file)
        file.flush()
        out = run_python(
            """
import json, sys
import jsonschema
root = json.load(open(sys.argv[1]))
answers = json.load(open(sys.argv[2]))
wrong = []
for method, path, status, answer in answers:
    said = root["paths"][path][method]["responses"]
    said = said.get(status) or said.get("400")
    if "$ref" in said:
        node = root
        for part in said["$ref"].lstrip("#/").split("/"):
            node = node[part]
        said = node
    schema = said.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        continue
    schema = {**schema, "components": root["components"]}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(answer):
        wrong.append(f"{method} {path} {status}: {error.json_path}: {error.message}")
print(len(answers), "answers")
assert not wrong, "\\n".join(wrong)
""",
            str(HERE.parent / "fixtures/api/openapi.json"), file.name,
        )  # fmt: skip
    assert out.strip() == f"{len(answers)} answers", out
    provider.stop()


def checks(binary):
    for check in (
        the_vendors_python_client_sends_and_is_refused,
        apprise_notifies_through_the_api,
        the_vendors_node_client_reaches_every_operation,
        every_answer_fits_the_description_of_the_api,
    ):
        yield check.__name__, lambda check=check: check(binary)
