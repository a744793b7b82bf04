//! Dialogues from `tests/transcripts`, each run whole, byte by byte and pipelined.
//!
//! `S:` a reply (continuation lines joined by a space; `...` matches anything), `C:` a line, `c:` raw
//! octets with escapes, `@` sets the scene, `=` asserts what came out, `#` tells why.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smtp2go_gateway::mail::{Identity, SessionFacts, SessionId, TlsFacts, Verdict, reply};
use smtp2go_gateway::session::{
    Answer, Input, Leniency, Limits, Output, Question, Session, Settings,
};

#[test]
fn every_transcript_reads_the_same_whole_byte_by_byte_and_pipelined() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let script = Script::read(&name, &text);
        for mode in [Mode::Whole, Mode::Bytes, Mode::Pipelined] {
            if script.scene.modes.contains(&mode) {
                Run::new(&name, &script, mode).play();
            }
        }
        count += 1;
    }
    assert!(count >= 50, "only {count} transcripts were found");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Whole,
    Bytes,
    Pipelined,
}

enum Step {
    Client(Vec<u8>),
    Server(String),
    /// Time passes.
    Wait(Duration),
}

struct Scene {
    settings: Settings,
    modes: Vec<Mode>,
    credentials: HashMap<String, String>,
    refused_senders: Vec<String>,
    refused_recipients: Vec<String>,
    begin_data_refused: bool,
    encrypted: bool,
}

struct Script {
    scene: Scene,
    steps: Vec<Step>,
    asserts: Vec<String>,
}

impl Script {
    fn read(name: &str, text: &str) -> Self {
        let mut scene = Scene {
            settings: Settings {
                hostname: "relay.test".to_owned(),
                starttls: true,
                auth_offered: true,
                auth_in_clear: true,
                leniency: Leniency::DEVICE,
                limits: Limits::default(),
            },
            modes: vec![Mode::Whole, Mode::Bytes, Mode::Pipelined],
            credentials: HashMap::new(),
            refused_senders: Vec::new(),
            refused_recipients: Vec::new(),
            begin_data_refused: false,
            encrypted: false,
        };
        let mut steps = Vec::new();
        let mut asserts = Vec::new();
        for line in text.lines() {
            let (mark, rest) = line.split_at(line.len().min(2));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            match mark {
                "" | "# " | "#" => {}
                "C:" => steps.push(Step::Client([&unescape(rest)[..], b"\r\n"].concat())),
                "c:" => steps.push(Step::Client(unescape(rest))),
                "S:" => steps.push(Step::Server(rest.to_owned())),
                "@ " if rest.starts_with("wait ") => {
                    let wait = humantime::parse_duration(&rest[5..]).unwrap();
                    steps.push(Step::Wait(wait));
                }
                "@ " => scene.set(name, rest),
                "= " => asserts.push(rest.to_owned()),
                _ => panic!("{name}: what is {line:?}?"),
            }
        }
        Self {
            scene,
            steps,
            asserts,
        }
    }
}

impl Scene {
    fn set(&mut self, name: &str, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let limits = &mut self.settings.limits;
        match words.as_slice() {
            ["profile", "strict"] => self.settings.leniency = Leniency::STRICT,
            ["profile", "legacy"] => self.settings.leniency = Leniency::LEGACY,
            ["starttls", "off"] => self.settings.starttls = false,
            ["auth", "off"] => self.settings.auth_offered = false,
            ["auth", "encrypted-only"] => self.settings.auth_in_clear = false,
            ["tls", "implicit"] => self.encrypted = true,
            ["user", user, password] => {
                self.credentials
                    .insert((*user).to_owned(), (*password).to_owned());
            }
            ["refuse", "sender", address] => self.refused_senders.push((*address).to_owned()),
            ["refuse", "recipient", address] => self.refused_recipients.push((*address).to_owned()),
            ["refuse", "data"] => self.begin_data_refused = true,
            ["limit", "message", octets] => limits.message_octets_max = octets.parse().unwrap(),
            ["limit", "recipients", count] => limits.recipients_max = count.parse().unwrap(),
            ["limit", "errors", count] => limits.errors_max = count.parse().unwrap(),
            ["limit", "idle-commands", count] => limits.idle_commands_max = count.parse().unwrap(),
            ["limit", "rate", octets] => limits.data_rate_min = octets.parse().unwrap(),
            // What a client sends ahead is by its nature different in other pieces.
            ["modes", modes @ ..] => {
                let all = [
                    ("whole", Mode::Whole),
                    ("bytes", Mode::Bytes),
                    ("pipelined", Mode::Pipelined),
                ];
                self.modes = all
                    .into_iter()
                    .filter(|(word, _)| modes.contains(word))
                    .map(|(_, mode)| mode)
                    .collect();
            }
            _ => panic!("{name}: no such scene: {words:?}"),
        }
    }
}

/// `\r`, `\n`, `\0`, `\\`, `\xNN`, and `\*N` for the letter x N times.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&escape, after) = rest.split_first().unwrap();
        rest = after;
        match escape {
            b'r' => octets.push(b'\r'),
            b'n' => octets.push(b'\n'),
            b'0' => octets.push(0),
            b'\\' => octets.push(b'\\'),
            b'x' => {
                let hex = std::str::from_utf8(&rest[..2]).unwrap();
                octets.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &rest[2..];
            }
            b'*' => {
                let digits = rest
                    .iter()
                    .take_while(|octet| octet.is_ascii_digit())
                    .count();
                let count: usize = std::str::from_utf8(&rest[..digits])
                    .unwrap()
                    .parse()
                    .unwrap();
                octets.extend(std::iter::repeat_n(b'x', count));
                rest = &rest[digits..];
            }
            other => panic!("no escape \\{}", other as char),
        }
    }
    octets
}

struct Run<'a> {
    name: &'a str,
    script: &'a Script,
    mode: Mode,
    session: Session,
    now: Instant,
    replies: VecDeque<String>,
    partial: String,
    content: Vec<u8>,
    messages: Vec<(String, Vec<u8>)>,
    events: Vec<&'static str>,
    closed: bool,
}

impl<'a> Run<'a> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the session's time starts anywhere"
    )]
    fn new(name: &'a str, script: &'a Script, mode: Mode) -> Self {
        let now = Instant::now();
        let peer = "192.0.2.7:4711".parse().unwrap();
        let mut facts = SessionFacts::new(SessionId(1), "lan".into(), peer);
        if script.scene.encrypted {
            facts.tls = Some(tls());
        }
        let settings = Arc::new(script.scene.settings.clone());
        Self {
            name,
            script,
            mode,
            session: Session::new(settings, facts, now),
            now,
            replies: VecDeque::new(),
            partial: String::new(),
            content: Vec::new(),
            messages: Vec::new(),
            events: Vec::new(),
            closed: false,
        }
    }

    fn play(mut self) {
        self.drain();
        let mut waiting: Vec<u8> = Vec::new();
        let mut expected: VecDeque<&str> = VecDeque::new();
        for step in &self.script.steps {
            match step {
                Step::Client(octets) => {
                    if self.mode == Mode::Pipelined {
                        waiting.extend_from_slice(octets);
                        if !may_be_followed(octets) {
                            self.feed(&std::mem::take(&mut waiting));
                        }
                    } else {
                        self.expect(&mut expected);
                        self.feed(octets);
                    }
                }
                Step::Server(pattern) => expected.push_back(pattern),
                Step::Wait(wait) => {
                    self.feed(&std::mem::take(&mut waiting));
                    self.now += *wait;
                    self.session.handle_input(Input::Timeout, self.now);
                    self.drain();
                }
            }
        }
        self.feed(&std::mem::take(&mut waiting));
        self.expect(&mut expected);
        let left: Vec<&String> = self.replies.iter().collect();
        assert!(left.is_empty(), "{}: unexpected {left:?}", self.place());
        for assertion in &self.script.asserts {
            self.check(assertion);
        }
    }

    fn place(&self) -> String {
        format!("{} ({:?})", self.name, self.mode)
    }

    fn feed(&mut self, octets: &[u8]) {
        let piece = match self.mode {
            Mode::Bytes => 1,
            Mode::Whole | Mode::Pipelined => octets.len().max(1),
        };
        for bytes in octets.chunks(piece) {
            if self.closed {
                return;
            }
            self.session.handle_input(Input::Bytes(bytes), self.now);
            self.drain();
        }
    }

    /// What the driver does, without a socket.
    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.transmitted(&bytes),
                Output::Ask(question) => {
                    let answer = self.answer(question);
                    self.session.handle_input(Input::Answer(answer), self.now);
                }
                Output::Content(bytes) => self.content.extend_from_slice(&bytes),
                Output::Discard => self.content.clear(),
                Output::StartTls => {
                    self.session
                        .handle_input(Input::TlsStarted(tls()), self.now);
                }
                Output::Event(event) => self.events.push(event.word()),
                Output::Refused(_) => self.events.push("refused"),
                Output::Timeout(_) => return,
                Output::Close => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn transmitted(&mut self, bytes: &[u8]) {
        for line in std::str::from_utf8(bytes).unwrap().split_inclusive("\r\n") {
            let line = line.strip_suffix("\r\n").expect("replies end in CRLF");
            assert!(
                line.len() <= 510,
                "{}: reply too long: {line}",
                self.place()
            );
            if self.partial.is_empty() {
                self.partial = line[..3].to_owned();
            }
            assert_eq!(self.partial[..3], line[..3], "{}", self.place());
            self.partial.push(' ');
            self.partial.push_str(&line[4..]);
            if &line[3..4] == " " {
                self.replies.push_back(std::mem::take(&mut self.partial));
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        let scene = &self.script.scene;
        let judge = |refused: bool, reply| {
            Answer::Verdict(if refused {
                Verdict::Refuse(reply)
            } else {
                Verdict::Accept
            })
        };
        match question {
            Question::SignIn(sign_in) => {
                let known = scene.credentials.get(&sign_in.username);
                let good = known.is_some_and(|known| known.as_bytes() == sign_in.password);
                Answer::SignIn(if good {
                    Ok(Some(Identity::Device(sign_in.username.as_str().into())))
                } else {
                    Err(reply::SIGN_IN_REFUSED)
                })
            }
            Question::Sender(path, _) => judge(
                scene.refused_senders.contains(&path.to_string()),
                reply::SIGN_IN_REQUIRED,
            ),
            Question::Recipient(path) => judge(
                scene.refused_recipients.contains(&path.to_string()),
                reply::RECIPIENT_IS_LITERAL,
            ),
            Question::BeginData => judge(scene.begin_data_refused, reply::SPOOL_UNAVAILABLE),
            Question::EndOfData(received) => {
                let envelope = received.envelope;
                let to: Vec<&str> = envelope
                    .recipients
                    .as_slice()
                    .iter()
                    .map(|mailbox| mailbox.as_str())
                    .collect();
                let line = format!("{} -> {}", envelope.reverse_path, to.join(" "));
                assert_eq!(received.size, self.content.len() as u64);
                self.messages
                    .push((line, std::mem::take(&mut self.content)));
                Answer::Settled(reply::OK)
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, patterns: &mut VecDeque<&str>) {
        for pattern in patterns.drain(..) {
            let place = self.place();
            let reply = self.replies.pop_front();
            let reply = reply.unwrap_or_else(|| panic!("{place}: no reply for {pattern:?}"));
            assert!(
                fits(pattern, &reply),
                "{place}: {reply:?} does not fit {pattern:?}"
            );
        }
    }

    fn check(&self, assertion: &str) {
        let place = self.place();
        let (what, value) = assertion.split_once(' ').unwrap_or((assertion, ""));
        match what {
            "closed" => assert!(self.closed, "{place}: still open"),
            "open" => assert!(!self.closed, "{place}: closed"),
            "event" => assert!(self.events.contains(&value), "{place}: {:?}", self.events),
            "no-event" => assert!(!self.events.contains(&value), "{place}: {:?}", self.events),
            "signed-in" => {
                let identity = self.session.facts().identity.as_ref();
                assert_eq!(
                    identity.map(|identity| &**identity.name()),
                    Some(value),
                    "{place}"
                );
            }
            "messages" => assert_eq!(self.messages.len().to_string(), value, "{place}"),
            "envelope" => {
                assert!(
                    self.messages.iter().any(|(line, _)| line == value),
                    "{place}: {:?}",
                    self.messages
                );
            }
            "content" => {
                let wanted = unescape(value.trim_matches('"'));
                let shown: Vec<_> = self
                    .messages
                    .iter()
                    .map(|(_, content)| String::from_utf8_lossy(content))
                    .collect();
                assert!(
                    self.messages.iter().any(|(_, content)| *content == wanted),
                    "{place}: {shown:?}"
                );
            }
            "nothing-kept" => assert!(
                self.content.is_empty() && self.messages.is_empty(),
                "{place}"
            ),
            _ => panic!("{place}: no such assertion: {assertion}"),
        }
    }
}

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        cipher: String::new(),
    }
}

/// RFC 2920 §3.1: what must be the last of a group.
fn may_be_followed(octets: &[u8]) -> bool {
    let line = String::from_utf8_lossy(octets).to_ascii_uppercase();
    let group = ["RSET", "MAIL", "RCPT", "NOOP", "HELP", "BLAH"];
    group.iter().any(|verb| line.trim_start().starts_with(verb))
}

/// `...` stands for anything, also for nothing.
fn fits(pattern: &str, reply: &str) -> bool {
    let mut parts = pattern.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = reply.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        return rest.is_empty();
    }
    let (last, middle) = parts.split_last().unwrap();
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
