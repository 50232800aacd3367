//! Who may come in without a token: clients of the classic protocol, which has none.

use std::io;
use std::net::IpAddr;

use nws_proto::Token;

use crate::network::Network;

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What a client of our own protocol has to prove that it knows.
    pub(crate) token: Token,
    /// Whether other users of this machine need no token.
    pub(crate) allow_users: bool,
    /// From where else the classic protocol is served.
    pub(crate) classic_from: Vec<Network>,
}

/// Where a connection comes from, by the kernel's word.
#[derive(Debug)]
pub(crate) enum Origin {
    /// This machine, and this user.
    User(u32),
    /// This machine, and the kernel does not tell which user.
    Unknown(io::Error),
    /// An address that is not of this machine alone.
    Address(IpAddr),
}

/// Why a client does not come in, where it does not.
///
/// On this machine the user decides, whatever networks are named: any user can connect from any of its
/// addresses. From elsewhere the address does.
pub(crate) fn refusal(origin: &Origin, own: u32, rules: &Rules) -> Option<String> {
    match origin {
        Origin::User(user) if *user == own || rules.allow_users => None,
        Origin::Unknown(_) if rules.allow_users => None,
        Origin::User(user) => {
            Some(format!("it is of user {user}, and this server serves user {own} only (setting allow-users)"))
        }
        Origin::Unknown(error) => Some(format!("the system does not tell whose it is: {error}")),
        Origin::Address(address) if rules.classic_from.iter().any(|network| network.contains(*address)) => None,
        Origin::Address(address) => Some(format!(
            "it comes from {address}, and other machines are served the classic protocol, which has no token, only \
             where the setting classic-from names them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1000;

    fn rules(allow_users: bool, classic_from: &[Network]) -> Rules {
        Rules { token: Token([0; 32]), allow_users, classic_from: classic_from.to_vec() }
    }

    fn address(text: &str) -> Origin {
        Origin::Address(text.parse().unwrap())
    }

    #[test]
    fn on_this_machine_the_user_decides() {
        let everywhere = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let unknown = || Origin::Unknown(io::ErrorKind::NotFound.into());
        for networks in [&[][..], &everywhere] {
            assert_eq!(refusal(&Origin::User(OWN), OWN, &rules(false, networks)), None);
            assert!(
                refusal(&Origin::User(1001), OWN, &rules(false, networks)).unwrap().contains("(setting allow-users)")
            );
            assert!(
                refusal(&Origin::User(0), OWN, &rules(false, networks)).is_some(),
                "root has to say who it is as well"
            );
            assert!(refusal(&unknown(), OWN, &rules(false, networks)).is_some());
            assert_eq!(refusal(&Origin::User(1001), OWN, &rules(true, networks)), None);
            assert_eq!(refusal(&unknown(), OWN, &rules(true, networks)), None);
        }
    }

    #[test]
    fn from_elsewhere_the_address_decides_whatever_users_are_let_in() {
        let networks: Vec<Network> = ["10.0.0.0/8", "192.168.1.5"].map(|text| text.parse().unwrap()).into();
        for allow_users in [false, true] {
            for inside in ["10.1.2.3", "192.168.1.5"] {
                assert_eq!(refusal(&address(inside), OWN, &rules(allow_users, &networks)), None, "{inside}");
                let why = refusal(&address(inside), OWN, &rules(allow_users, &[])).unwrap();
                assert!(why.contains(inside) && why.contains("classic-from"), "{why}");
            }
            for outside in ["11.0.0.1", "192.168.1.6", "2001:db8::1"] {
                assert!(refusal(&address(outside), OWN, &rules(allow_users, &networks)).is_some(), "{outside}");
            }
        }
    }
}
