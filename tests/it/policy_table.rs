//! Promises 5 and 6: what may be sent, as whom, from where and to whom, as a table that people can read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use smtp2go_gateway::clock::Timestamp;
use smtp2go_gateway::mail::{
    HeaderSender, Identity, Mailbox, ReversePath, SessionFacts, SessionId, TlsFacts, read_network,
};
use smtp2go_gateway::policy::Case;
use smtp2go_gateway::rules::{
    AccountRules, AddressList, Confirmed, DeviceRule, Domains, FromOverride, IpAuth, IpAuthRule,
    IpList, IpSource, ListMode, ListenerRule, RecipientList, Rules, Section, SenderList,
    SingleSenders, Standing, SuppressionReason, Suppressions, UserRule, Users, WhenStale,
    WithoutRules, fold_entry,
};

use crate::support::golden::assert_golden;

const NOW: Timestamp = Timestamp(1_795_400_000_000);

#[test]
fn every_case_of_the_table_is_decided_as_it_was_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/cases.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rules = Rules::default();
    let (mut answers, mut count) = (String::new(), 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] | ["#", ..] => {}
            [first, ..] if first.starts_with('[') => {
                rules = Rules::default();
                writeln!(answers, "\n{line}").unwrap();
            }
            ["?", ref asked @ ..] => {
                for case in alternatives(asked) {
                    let explained = ask(&rules, &case).explain(&rules, NOW);
                    // Whatever is decided, the rules that took part are told.
                    assert!(!explained.rules.0.is_empty(), "{case:?} has no explanation");
                    let mut answer = if explained.accepted {
                        "accepted".to_owned()
                    } else {
                        explained.reply.clone()
                    };
                    if !explained.sender_action.is_empty() {
                        answer = format!("{answer}, {}", explained.sender_action);
                    }
                    writeln!(answers, "{:<62} {answer}", case.join(" ")).unwrap();
                    count += 1;
                }
            }
            [what, ref settings @ ..] => {
                set(&mut rules, what, settings);
                writeln!(answers, "  {line}").unwrap();
            }
        }
    }
    assert!(count >= 120, "only {count} cases");
    assert_golden("policy.txt", answers.trim_start());
}

/// Every combination of the alternatives.
fn alternatives(asked: &[&str]) -> Vec<Vec<String>> {
    let mut cases = vec![Vec::new()];
    for word in asked {
        let (name, values) = word.split_once('=').unwrap_or((word, ""));
        let values: Vec<String> = if word.contains('=') {
            values
                .split('|')
                .map(|value| format!("{name}={value}"))
                .collect()
        } else {
            vec![(*word).to_owned()]
        };
        cases = cases
            .into_iter()
            .flat_map(|case| {
                let longer = |value: &String| [case.clone(), vec![value.clone()]].concat();
                values.iter().map(longer).collect::<Vec<_>>()
            })
            .collect();
    }
    cases
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect(text)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}

pub(crate) fn set(rules: &mut Rules, what: &str, settings: &[&str]) {
    let (name, rest) = match what {
        "ip" | "knowledge" => ("", settings),
        _ => (settings[0], &settings[1..]),
    };
    let value = |wanted: &str| -> Option<&str> {
        let found = rest.iter().find_map(|word| word.strip_prefix(wanted));
        found.and_then(|rest| rest.strip_prefix('='))
    };
    let has = |word: &str| rest.contains(&word);
    let networks = |key: &str| -> Vec<_> {
        let texts = value(key).map(|texts| items(texts).collect::<Vec<_>>());
        let texts = texts.unwrap_or_default().into_iter();
        texts.map(|text| read_network(text).expect(text)).collect()
    };
    match what {
        "listener" => {
            let rule = ListenerRule {
                account: value("account").unwrap_or("default").into(),
                trust: networks("trust"),
                require_tls: has("tls"),
            };
            rules.listeners.insert(name.into(), rule);
        }
        "device" => {
            let from_override = match value("override").and_then(|text| text.split_once(':')) {
                Some(("always", address)) => FromOverride::Always(mailbox(address)),
                Some((_, address)) => FromOverride::IfNotAllowed(mailbox(address)),
                None => FromOverride::Off,
            };
            let allowed = items(value("allowed").unwrap_or_default());
            let rule = DeviceRule {
                account: value("account").unwrap_or("default").into(),
                has_credential: has("credential"),
                smtp_user: value("smtp_user").map(Into::into),
                require_tls: has("tls"),
                networks: networks("networks"),
                allowed_senders: allowed.map(|text| text.parse().expect(text)).collect(),
                from_override,
            };
            rules.devices.insert(name.into(), rule);
        }
        "account" => {
            let days = value("age").map_or(0, |age| age.trim_end_matches('d').parse().unwrap());
            let known = account(&value, has("known"), Duration::from_secs(days * 86_400));
            rules.accounts.insert(name.into(), Arc::new(known));
        }
        "ip" => {
            match value("source") {
                Some("local") => rules.ip.source = IpSource::Local,
                Some("provider") => rules.ip.source = IpSource::Provider,
                Some("both") => rules.ip.source = IpSource::Both,
                _ => {}
            }
            let shared = items(value("shared").unwrap_or_default());
            rules.ip.shared = shared.map(|text| text.parse().expect(text)).collect();
        }
        "knowledge" => {
            if value("unknown") == Some("refuse") {
                rules.knowledge.unknown = WithoutRules::Refuse;
            }
            match value("stale") {
                Some("refuse") => rules.knowledge.stale = WhenStale::Refuse,
                Some("devices") => rules.knowledge.stale = WhenStale::Devices,
                _ => {}
            }
        }
        other => panic!("what is {other}?"),
    }
}

fn account<'a>(
    value: &dyn Fn(&str) -> Option<&'a str>,
    known: bool,
    age: Duration,
) -> AccountRules {
    fn section<T>(value: T, age: Duration) -> Section<T> {
        Section::known(Arc::new(value), Confirmed::new(NOW.before(age)))
    }
    let given = |key: &str| value(key).or(known.then_some(""));
    let list = |text: &str| {
        let mut list = AddressList::default();
        for entry in items(text) {
            list.insert(entry);
        }
        list
    };
    let signed = |text: &str| -> BTreeMap<Box<str>, bool> {
        let entry = |item: &str| (fold_entry(&item[1..]).0.into(), item.starts_with('+'));
        items(text).map(entry).collect()
    };
    let standing = |word: &str| match word {
        "allowed" => Standing::Allowed,
        "sandbox" => Standing::Sandbox,
        _ => Standing::Blocked("status blocked".to_owned()),
    };
    let switch = |text: &str| {
        let (switch, entries) = text.split_once(':').unwrap_or((text, ""));
        (switch == "on", entries.to_owned())
    };
    let mut rules = AccountRules::default();
    if let Some(text) = given("senders") {
        let (mode, entries) = text.split_once(':').unwrap_or((text, ""));
        let mode = match mode {
            "whitelist" => ListMode::Whitelist,
            "blacklist" => ListMode::Blacklist,
            _ => ListMode::Disabled,
        };
        let list = list(entries);
        rules.allowed_senders = section(
            SenderList {
                mode,
                list,
                patterns: Vec::new(),
            },
            age,
        );
    }
    if let Some(text) = given("recipients") {
        let (enabled, entries) = switch(text);
        let list = list(&entries);
        rules.allowed_recipients = section(RecipientList { enabled, list }, age);
    }
    if let Some(text) = given("ip") {
        let (enabled, entries) = switch(text);
        let networks = items(&entries).map(|entry| read_network(entry).expect(entry));
        let networks = networks.collect();
        rules.ip_smtp = section(IpList { enabled, networks }, age);
    }
    if let Some(text) = given("ipauth") {
        let entry = |item: &str| {
            let (address, word) = item.split_once(':').unwrap();
            let standing = standing(word);
            (
                read_network(address).unwrap(),
                IpAuthRule {
                    standing,
                    limit: None,
                },
            )
        };
        rules.ip_auth = section(IpAuth(items(text).map(entry).collect()), age);
    }
    if let Some(text) = given("domains") {
        rules.domains = section(Domains(signed(text)), age);
    }
    if let Some(text) = given("singles") {
        rules.single_senders = section(SingleSenders(signed(text)), age);
    }
    if let Some(text) = given("suppressed") {
        let entry = |item: &str| {
            let (entry, reason) = item.rsplit_once(':').unwrap();
            (fold_entry(entry).0, SuppressionReason::read(reason))
        };
        let suppressions: Suppressions = items(text).map(entry).collect();
        rules.suppressions = section(suppressions, age);
    }
    if let Some(text) = given("users") {
        let mut users = Users::default();
        for item in items(text) {
            let (name, word) = item.split_once(':').unwrap();
            users.insert(UserRule {
                name: name.into(),
                standing: standing(word),
                limit: None,
                password: None,
            });
        }
        rules.users = section(users, age);
    }
    rules
}

pub(crate) fn ask(rules: &Rules, words: &[String]) -> Case {
    let value = |wanted: &str| -> Option<&str> {
        let found = words.iter().find_map(|word| word.strip_prefix(wanted));
        found.and_then(|rest| rest.strip_prefix('='))
    };
    let peer = SocketAddr::new(value("from").unwrap().parse().unwrap(), 0);
    let listener = value("on").unwrap_or("lan");
    let mut facts = SessionFacts::new(SessionId(0), listener.into(), peer);
    facts.tls = words.contains(&"encrypted".to_owned()).then(|| TlsFacts {
        version: "TLSv1.3",
        cipher: String::new(),
    });
    facts.identity = value("user").map(|name| {
        if rules.devices.contains_key(name) {
            return Identity::Device(name.into());
        }
        let holds = |known: &&AccountRules| {
            let users = known.users.value();
            users.is_some_and(|users| users.get(name).is_some())
        };
        let found = rules
            .accounts
            .iter()
            .find(|(_, known)| holds(&known.as_ref()));
        let (account, _) = found.expect(name);
        Identity::User {
            account: account.clone(),
            name: name.into(),
        }
    });
    Case {
        facts,
        reverse_path: value("mail").map(|text| match text {
            "" => ReversePath::Null,
            text => ReversePath::Mailbox(mailbox(text)),
        }),
        header: value("header").map(|text| match text {
            "unreadable" => HeaderSender::Unreadable("Ann <ann".to_owned()),
            "toomany" => HeaderSender::TooMany,
            text if text.starts_with("doubtful:") => HeaderSender::Doubtful(
                items(&text[9..]).map(mailbox).collect(),
                "Ann, A <ann".to_owned(),
            ),
            "several" => HeaderSender::Several,
            "missing" => HeaderSender::Missing(Vec::new()),
            addresses => HeaderSender::Addresses(items(addresses).map(mailbox).collect()),
        }),
        recipients: value("rcpt").map(mailbox).into_iter().collect(),
    }
}
