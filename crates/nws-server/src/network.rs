//! Networks: which addresses are meant by `10.0.0.0/8` or `192.168.1.5`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that begin as this one does; with a full prefix, it alone.
///
/// ```
/// use nws_server::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?) && !network.contains("11.0.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNetwork;

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address such as 192.168.1.5, or a network such as 10.0.0.0/8")
    }
}

impl std::error::Error for BadNetwork {}

/// An address as a number whose first bits are the network's, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The bits beyond the prefix.
fn host_bits(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shr(prefix_bits.into()).unwrap_or(0)
}

impl Network {
    /// Whether the address is one of these. An IPv4 address is one also where it comes as an IPv6 one.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, own) = (address.to_canonical(), self.address);
        let ((number, width), (first, own_width)) = (bits(address), bits(own));
        width == own_width && (number ^ first) & !host_bits(self.prefix_bits) == 0
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    /// Reads `ADDRESS` or `ADDRESS/BITS`. Bits of the address beyond the prefix have to be 0, so that a
    /// slip of the pen does not let more machines in than was meant.
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let (number, width) = bits(address);
        let prefix_bits = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| BadNetwork)?
            }
            Some(_) => return Err(BadNetwork),
            None => width,
        };
        // The bits behind those of an IPv4 address are 0 anyway.
        if prefix_bits > width || number & host_bits(prefix_bits) != 0 {
            return Err(BadNetwork);
        }
        Ok(Self { address, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, width) = bits(self.address);
        if self.prefix_bits == width {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.168.1.5", "192.168.1.5", "192.168.1.4"),
            ("192.168.1.4/31", "192.168.1.5", "192.168.1.6"),
            ("172.16.0.0/12", "172.31.0.1", "172.32.0.1"),
            ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "8.8.8.8"),
            ("fe80::1", "fe80::1", "fe80::2"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"), "as a socket of both families tells it");
    }

    #[test]
    fn a_network_is_shown_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.168.1.5", "0.0.0.0/0", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3/32".parse::<Network>().unwrap().to_string(), "10.1.2.3");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "::/129", "::1/64"] {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork), "{text}");
        }
    }
}
