//! AUTH LOGIN and AUTH PLAIN, as devices really send them.
//!
//! Prompts are the two texts that every device accepts. Base64 may lack padding or carry a line end;
//! a line end inside the decoded user name is dropped, a password is taken octet by octet as it is.
//!
//! RFC 4616 (PLAIN), RFC 4954 §4

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::mail::{Reply, SignIn, reply};

/// An exchange that waits for the client's next line.
#[derive(Debug)]
pub(super) enum Exchange {
    Username,
    Password { username: String },
    Plain,
}

/// Where an exchange goes from here.
#[derive(Debug)]
pub(super) enum Step {
    /// Say this and wait for a line.
    Challenge(Reply, Exchange),
    /// Ask whether this is good.
    SignIn(SignIn),
    /// Say this; the exchange is over.
    Failed(Reply),
}

impl Exchange {
    /// Starts with what followed AUTH.
    pub(super) fn start(mechanism: &str, initial: Option<&[u8]>) -> Step {
        let exchange = if mechanism.eq_ignore_ascii_case("LOGIN") {
            Self::Username
        } else if mechanism.eq_ignore_ascii_case("PLAIN") {
            Self::Plain
        } else {
            return Step::Failed(reply::MECHANISM_UNKNOWN);
        };
        match (initial, exchange) {
            // "=" is an initial response of no octets (RFC 4954 §4).
            (Some(b"="), exchange) => exchange.decoded(Vec::new()),
            (Some(line), exchange) => exchange.line(line),
            (None, Self::Plain) => Step::Challenge(reply::ASK_RESPONSE, Self::Plain),
            (None, exchange) => Step::Challenge(reply::ASK_USERNAME, exchange),
        }
    }

    /// Goes on with the client's line.
    pub(super) fn line(self, line: &[u8]) -> Step {
        if line == b"*" {
            return Step::Failed(reply::AUTH_CANCELLED);
        }
        let tidy: Vec<u8> = line
            .iter()
            .copied()
            .filter(|octet| !octet.is_ascii_whitespace())
            .collect();
        match FORGIVING.decode(tidy) {
            Ok(decoded) => self.decoded(decoded),
            Err(_) => Step::Failed(reply::AUTH_NOT_BASE64),
        }
    }

    fn decoded(self, decoded: Vec<u8>) -> Step {
        match self {
            Self::Username => Step::Challenge(
                reply::ASK_PASSWORD,
                Self::Password {
                    username: username(&decoded),
                },
            ),
            Self::Password { username } => Step::SignIn(SignIn {
                username,
                password: decoded,
            }),
            Self::Plain => {
                // authorization id NUL user NUL password; the first is ignored, some leave it out.
                // A password can't contain NUL, so one cut from the right is enough.
                let mut parts = decoded.rsplitn(3, |octet| *octet == 0);
                match (parts.next(), parts.next()) {
                    (Some(password), Some(user)) => {
                        // Some put the name in front alone.
                        let front = parts.next().unwrap_or_default();
                        let leads = user.is_empty() && !password.is_empty();
                        let user = if leads { front } else { user };
                        Step::SignIn(SignIn {
                            username: username(user),
                            password: password.to_vec(),
                        })
                    }
                    _ => Step::Failed(reply::AUTH_NOT_BASE64),
                }
            }
        }
    }
}

fn username(decoded: &[u8]) -> String {
    let text = String::from_utf8_lossy(decoded);
    text.trim_end_matches(['\r', '\n', '\0']).to_owned()
}

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(step: Step) -> Option<(String, Vec<u8>)> {
        match step {
            Step::SignIn(sign_in) => Some((sign_in.username, sign_in.password)),
            _ => None,
        }
    }

    #[test]
    fn plain_is_read_with_or_without_authorization_id_and_padding() {
        for line in [
            "AGRldgBwdw==",
            "AGRldgBwdw",
            "ZGV2AHB3",
            "eABkZXYAcHc=",
            // name NUL NUL password
            "ZGV2AABwdw==",
            " AGRldgBwdw== ",
        ] {
            let step = Exchange::start("plain", Some(line.as_bytes()));
            assert_eq!(signed(step), Some(("dev".into(), b"pw".to_vec())), "{line}");
        }
        let blank = Exchange::start("PLAIN", Some(b"AAA="));
        assert_eq!(signed(blank), Some((String::new(), Vec::new())));
    }

    #[test]
    fn login_strips_line_ends_from_the_name_and_nothing_from_the_password() {
        let Step::Challenge(prompt, exchange) = Exchange::start("login", Some(b"dXNlcm5hbWUK"))
        else {
            panic!("no password prompt");
        };
        assert_eq!(prompt, reply::ASK_PASSWORD);
        let step = exchange.line(b"cHcK");
        assert_eq!(signed(step), Some(("username".into(), b"pw\n".to_vec())));
    }

    #[test]
    fn junk_and_cancelling_end_the_exchange() {
        assert!(matches!(
            Exchange::Username.line(b"*"),
            Step::Failed(reply) if reply == reply::AUTH_CANCELLED
        ));
        assert!(matches!(
            Exchange::Plain.line(b"!!"),
            Step::Failed(reply) if reply == reply::AUTH_NOT_BASE64
        ));
        assert!(matches!(
            Exchange::start("NTLM", None),
            Step::Failed(reply) if reply == reply::MECHANISM_UNKNOWN
        ));
    }
}
