#!/usr/bin/env bash
# Measures the gateway beside its peers in one run on this machine, and prints the table of the README.
# Needs root: it installs Postfix (for smtp-source, smtp-sink and as a peer) and starts it on loopback, with a
# configuration and a queue of its own below target/compare.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=
for program in postfix smtp-source smtp-sink openssl python3; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq postfix openssl python3 >/dev/null
fi
cargo build --release --locked --quiet
benches=$(cargo bench --locked --quiet --bench mailin --bench load --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and "bench" in made["target"]["kind"]:
        print(made["target"]["name"] + "=" + made["executable"])')
exec python3 benches/compare.py target/release/smtp2go-gateway $benches "$@"
