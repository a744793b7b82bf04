//! Promise 4, for any rules and any case: no leniency and no override makes policy accept what it refused without
//! it, but for the switches that are named for it.

use proptest::prelude::*;
use smtp2go_gateway::clock::Timestamp;
use smtp2go_gateway::mail::Mailbox;
use smtp2go_gateway::policy::{Case, Explained};
use smtp2go_gateway::rules::{FromOverride, IpSource, Rules, WhenStale, WithoutRules};

use super::policy_table::{ask, set};

const NOW: Timestamp = Timestamp(1_795_400_000_000);

fn pick(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(choices)
}

const ADDRESSES: &[&str] = &[
    "ann@a.test",
    "Bob@A.Test",
    "cat@sub.a.test",
    "dan@b.test",
    "eve@c.test",
    "fay@büro.test",
];
const LISTS: &[&str] = &[
    "",
    "ann@a.test",
    "a.test",
    "a.test,b.test",
    "büro.test,eve@c.test",
];
const NETWORKS: &[&str] = &[
    "",
    "10.0.0.0/8",
    "10.0.0.1",
    "192.0.2.0/24",
    "::ffff:10.0.0.0/104",
];
const CLIENTS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "192.0.2.1",
    "::ffff:10.0.0.1",
    "203.0.113.5",
];

/// Lines of a scene, as the table has them.
fn scene() -> impl Strategy<Value = Vec<String>> {
    let account = (
        pick(&["disabled", "whitelist", "blacklist"]),
        pick(LISTS),
        pick(&["", "+a.test", "+a.test,-sub.a.test", "-b.test,+c.test"]),
        pick(&["", "+dan@b.test", "-dan@b.test"]),
        pick(&["off:", "on:", "on:10.0.0.0/8", "on:203.0.113.0/24"]),
        pick(&["", "10.0.0.2:blocked", "203.0.113.5:allowed"]),
        pick(&["printer1:allowed", "printer1:blocked", "other:allowed"]),
        pick(&["known", "age=9d", ""]),
    );
    let device = (
        pick(NETWORKS),
        pick(LISTS),
        pick(&["credential", ""]),
        pick(&["tls", ""]),
    );
    let rest = (pick(NETWORKS), pick(&["tls", ""]), pick(&["", "10.0.0.1"]));
    (account, device, rest).prop_map(|(account, device, (trust, tls, shared))| {
        let (mode, list, domains, singles, ip, ip_auth, users, known) = account;
        let (networks, allowed, credential, device_tls) = device;
        vec![
            format!("listener lan trust={trust} {tls}"),
            format!(
                "device d networks={networks} allowed={allowed} smtp_user=printer1 {credential} {device_tls}"
            ),
            format!(
                "account default {known} senders={mode}:{list} domains={domains} singles={singles} ip={ip} \
                 ipauth={ip_auth} users={users} suppressed=eve@c.test:bounce"
            ),
            format!("ip shared={shared}"),
        ]
    })
}

fn rules(scene: &[String]) -> Rules {
    let mut rules = Rules::default();
    for line in scene {
        let words: Vec<&str> = line.split_whitespace().collect();
        set(&mut rules, words[0], &words[1..]);
    }
    rules
}

fn case() -> impl Strategy<Value = Vec<String>> {
    (
        pick(CLIENTS),
        pick(&["", "d", "printer1"]),
        any::<bool>(),
        pick(ADDRESSES),
        pick(ADDRESSES),
        pick(ADDRESSES),
    )
        .prop_map(|(from, user, encrypted, mail, header, rcpt)| {
            let mut words = vec![
                format!("from={from}"),
                format!("mail={mail}"),
                format!("header={header}"),
                format!("rcpt={rcpt}"),
            ];
            if !user.is_empty() {
                words.push(format!("user={user}"));
            }
            if encrypted {
                words.push("encrypted".to_owned());
            }
            words
        })
}

/// `None` where nobody of that name exists.
fn decide(rules: &Rules, words: &[String]) -> Option<Explained> {
    let unknown = words.contains(&"user=printer1".to_owned())
        && rules.accounts["default"]
            .users
            .value()
            .is_none_or(|users| users.get("printer1").is_none());
    (!unknown).then(|| ask(rules, words).explain(rules, NOW))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn stricter_settings_never_let_more_through(scene in scene(), case in case(), tighten in 0..7u8) {
        let before = rules(&scene);
        let Some(lax) = decide(&before, &case) else { return Ok(()) };
        let mut after = before.clone();
        match tighten {
            0 => after.knowledge.unknown = WithoutRules::Refuse,
            1 => after.knowledge.stale = WhenStale::Refuse,
            2 => for listener in after.listeners.values_mut() { listener.require_tls = true },
            3 => for device in after.devices.values_mut() { device.require_tls = true },
            4 => after.ip.source = IpSource::Both,
            5 => after.ip.shared.push("10.0.0.1".parse().unwrap()),
            _ => for listener in after.listeners.values_mut() { listener.trust.clear() },
        }
        let Some(strict) = decide(&after, &case) else { return Ok(()) };
        prop_assert!(
            lax.accepted || !strict.accepted,
            "{case:?} in {scene:?}: refused ({}), and accepted with {tighten}", lax.reply
        );
    }

    /// An override is a named switch: it may replace a sender, and then it is the replacement that is judged.
    #[test]
    fn an_override_lets_nothing_through_but_its_own_address(
        scene in scene(), case in case(), always in any::<bool>(), address in pick(ADDRESSES)
    ) {
        let before = rules(&scene);
        let Some(plain) = decide(&before, &case) else { return Ok(()) };
        let mut after = before.clone();
        let address = Mailbox::parse(address).unwrap();
        for device in after.devices.values_mut() {
            device.from_override = if always {
                FromOverride::Always(address.clone())
            } else {
                FromOverride::IfNotAllowed(address.clone())
            };
        }
        let Some(replaced) = decide(&after, &case) else { return Ok(()) };
        if replaced.accepted && !plain.accepted {
            prop_assert_eq!(&replaced.sender_action, &format!("override {address}"));
            // The replacement alone would have been accepted by the account's rules, too.
            let mut own = before.clone();
            for device in own.devices.values_mut() {
                device.allowed_senders.clear();
            }
            let as_itself: Vec<String> = case
                .iter()
                .map(|word| match word.split_once('=') {
                    Some((key @ ("mail" | "header"), _)) => format!("{key}={address}"),
                    _ => word.clone(),
                })
                .collect();
            let Some(as_itself) = decide(&own, &as_itself) else { return Ok(()) };
            prop_assert!(as_itself.accepted, "{case:?} in {scene:?}: {}", as_itself.reply);
        }
    }

    /// Whoever may send from one address may not send from another because it is spelt as IPv6.
    #[test]
    fn a_mapped_address_is_the_address_it_means(scene in scene(), case in case()) {
        let rules = rules(&scene);
        let mapped: Vec<String> = case
            .iter()
            .map(|word| match word.strip_prefix("from=") {
                Some(address) if !address.contains(':') => format!("from=::ffff:{address}"),
                _ => word.clone(),
            })
            .collect();
        let (Some(plain), Some(mapped)) = (decide(&rules, &case), decide(&rules, &mapped)) else {
            return Ok(());
        };
        prop_assert_eq!(plain.accepted, mapped.accepted);
    }
}

#[test]
fn nothing_is_accepted_where_nothing_is_configured() {
    let rules = Rules::default();
    for client in CLIENTS {
        let words = [format!("from={client}"), "mail=ann@a.test".to_owned()];
        let case: Case = ask(&rules, &words);
        assert!(!case.explain(&rules, NOW).accepted, "{client}");
    }
}
