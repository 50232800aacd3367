//! Whose process is at the other end of a connection, by the kernel's word.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt,
};

/// `SOCK_DIAG_BY_FAMILY` of the kernel's `sock_diag.h`, with the sizes of what goes with it.
const DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_HEADER_BYTES: usize = 16;
const DIAG_REQUEST_BYTES: usize = 56;
/// Where the answer has the user and the inode.
const UID_AT: usize = NLMSG_HEADER_BYTES + 64;
const INODE_AT: usize = NLMSG_HEADER_BYTES + 68;
const IPPROTO_TCP: u8 = 6;

/// The user that this server runs as.
pub(crate) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user at the other end of a Unix socket, when it connected.
pub(crate) fn user_of_unix_peer(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// The user whose socket on this machine has the address `peer` and is connected to `local`.
///
/// # Errors
/// Where there is no such socket, or no process has it any more: a kernel tells root as the user then.
pub(crate) fn user_of_tcp_peer(peer: SocketAddr, local: SocketAddr) -> io::Result<u32> {
    let (peer, local) = (plain(peer), plain(local));
    // Asking for one socket takes microseconds; reading the table of all of them takes the longer the
    // more there are.
    let found = match ask_kernel(peer, local) {
        Ok(found) => found,
        Err(_) => read_tables(peer, local)?,
    };
    match found {
        Some((uid, inode)) if inode != 0 => Ok(uid),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "the other end of the connection has no process")),
    }
}

/// The address as IPv4 where it is one that was written as IPv6.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Asks by netlink: user and inode of the socket, if there is one.
///
/// # Errors
/// Where this kernel does not tell.
fn ask_kernel(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<(u32, u32)>> {
    let family = AddressFamily::NETLINK;
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    send(&socket, &question(peer, local), SendFlags::empty())?;
    let mut answer = [0; 1024];
    // It is there when `send` returns.
    let (length, _) = recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    let answer = &answer[..length];
    let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, word(answer, UID_AT).zip(word(answer, INODE_AT))) {
        (Some(DIAG_BY_FAMILY), Some(found)) => Ok(Some(found)),
        _ => match word(answer, NLMSG_HEADER_BYTES).map(|error| -(error as i32)) {
            Some(libc::ENOENT) => Ok(None),
            error => Err(io::Error::from_raw_os_error(error.unwrap_or(libc::EPROTO))),
        },
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A header and an `inet_diag_req_v2`.
fn question(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let length = NLMSG_HEADER_BYTES + DIAG_REQUEST_BYTES;
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&(length as u32).to_ne_bytes());
    message.extend_from_slice(&DIAG_BY_FAMILY.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port.
    message.extend_from_slice(&[0; 8]);
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    message.extend_from_slice(&[family as u8, IPPROTO_TCP, 0, 0]);
    // All states.
    message.extend_from_slice(&u32::MAX.to_ne_bytes());
    // The socket is named from its own end.
    message.extend_from_slice(&peer.port().to_be_bytes());
    message.extend_from_slice(&local.port().to_be_bytes());
    for ip in [peer.ip(), local.ip()] {
        match ip {
            IpAddr::V4(ip) => {
                message.extend_from_slice(&ip.octets());
                message.extend_from_slice(&[0; 12]);
            }
            IpAddr::V6(ip) => message.extend_from_slice(&ip.octets()),
        }
    }
    // Any interface, and no cookie.
    message.extend_from_slice(&0u32.to_ne_bytes());
    message.extend_from_slice(&[0xff; 8]);
    message
}

/// Looks the socket up in the tables of all sockets.
fn read_tables(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<(u32, u32)>> {
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let found = match fs::read_to_string(table) {
            Ok(text) => find_in_table(&text, peer, local),
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn find_in_table(text: &str, peer: SocketAddr, local: SocketAddr) -> Option<(u32, u32)> {
    text.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (own, other) = (parse_address(fields.next()?)?, parse_address(fields.next()?)?);
        if (own, other) != (peer, local) {
            return None;
        }
        // After the addresses come state, queues, timer, retransmissions, user, timeout, inode.
        let uid = fields.nth(4)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some((uid, inode))
    })
}

/// An address as the tables have it: words of the machine's own byte order, in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |place: usize| {
        let digits = ip.get(8 * place..8 * place + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(words.concat().try_into().ok()?)))
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A connection from `client` to `server`: both ends, and their addresses as the server sees them.
    fn connection(listen: &str) -> Option<(TcpStream, TcpStream, SocketAddr, SocketAddr)> {
        let listener = TcpListener::bind(listen).ok()?;
        let mut address = listener.local_addr().unwrap();
        if address.ip().is_unspecified() {
            // An IPv4 client of an IPv6 socket.
            address = SocketAddr::new("127.0.0.1".parse().unwrap(), address.port());
        }
        let client = TcpStream::connect(address).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        Some((client, server, peer, local))
    }

    #[test]
    fn the_user_of_a_tcp_peer_is_known_by_both_ways() {
        let mut checked = 0;
        for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            // A machine may have no IPv6.
            let Some((client, _server, peer, local)) = connection(listen) else { continue };
            checked += 1;
            assert_eq!(user_of_tcp_peer(peer, local).unwrap(), own_user(), "{listen}");
            let (peer, local) = (plain(peer), plain(local));
            let (uid, inode) = read_tables(peer, local).unwrap().unwrap();
            assert_eq!(uid, own_user(), "{listen}");
            assert_ne!(inode, 0);
            // Where the kernel does not tell, the tables have to do.
            if let Ok(told) = ask_kernel(peer, local) {
                assert_eq!(told, Some((uid, inode)), "{listen}");
            }
            drop(client);
        }
        assert!(checked > 0);
    }

    #[test]
    fn a_peer_that_has_gone_has_no_user() {
        let (client, _server, peer, local) = connection("127.0.0.1:0").unwrap();
        drop(client);
        // The kernel keeps the connection for a while and tells root as its user.
        assert_eq!(user_of_tcp_peer(peer, local).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read_tables(peer, local).unwrap().is_none_or(|(_, inode)| inode == 0));
        let nobody = SocketAddr::new(peer.ip(), 1);
        assert_eq!(user_of_tcp_peer(nobody, local).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_user_of_a_unix_peer_is_known() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(user_of_unix_peer(one.as_fd()).unwrap(), own_user());
    }

    #[test]
    fn a_table_is_read_line_by_line() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let (loopback, zeros) = (word([127, 0, 0, 1]), "0".repeat(8));
        let mapped = format!("{zeros}{zeros}{}{loopback}", word([0, 0, 0xff, 0xff]));
        let six = format!("{zeros}{zeros}{zeros}{}", word([0, 0, 0, 1]));
        let text = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             broken line\n\
             0: {loopback}:223D {loopback}:1F90 01 00000000:00000000 00:00000000 00000000 7 0 70 1 0 20\n\
             1: {loopback}:1F90 {loopback}:223D 01 00000000:00000000 02:000003E8 00000000  1000        0 4711 2 0\n\
             2: {mapped}:1F91 {mapped}:223D 01 00000000:00000000 02:000003E8 00000000  1001        0 4712 2 0\n\
             3: {six}:1F92 {six}:223D 06 00000000:00000000 02:000003E8 00000000     0        0 0 2 0\n"
        );
        let find = |peer: &str, local: &str| find_in_table(&text, peer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(find("127.0.0.1:8080", "127.0.0.1:8765"), Some((1000, 4711)));
        assert_eq!(find("127.0.0.1:8081", "127.0.0.1:8765"), Some((1001, 4712)));
        assert_eq!(find("[::1]:8082", "[::1]:8765"), Some((0, 0)));
        assert_eq!(find("127.0.0.1:8083", "127.0.0.1:8765"), None);
    }
}
