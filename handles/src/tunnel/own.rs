//! Which addresses are this host's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use aqueduct_core::error::OsError;

/// Addresses that no host has: of a reserved block, and of one whose packets are discarded
/// (RFC 1112 section 4, RFC 6666).
const NOBODYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)),
];

/// Whether what is sent to an address stays on this host, for a proxy: no tunnel leads to
/// its own addresses ([`Offer::check_address`](super::Offer::check_address)). To be asked
/// of the very address that is used then. Nothing is sent; a few system calls.
///
/// An address that only a translation on the way makes this host's is not known here.
///
/// # Errors
/// When there is no socket to try it with, such as for want of descriptors. Nothing is known
/// of the address then, and nothing should be sent to it.
pub fn is_this_host(address: IpAddr) -> io::Result<bool> {
    let address = address.to_canonical();
    // Some systems bind the addresses of many as well.
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => return Ok(false),
        address if address.is_multicast() => return Ok(false),
        address if address.is_unspecified() => return Ok(true),
        _ => {}
    }
    let [v4, v6] = NOBODYS;
    let nobodys = if address.is_ipv4() { v4 } else { v6 };
    // Of a host with several addresses on one network, connected sockets show the first
    // whichever they lead to; all can be bound. Some hosts let everything be bound.
    Ok(match can_bind(nobodys)? {
        false => can_bind(address)?,
        true => leads_back(address)?,
    })
}

fn can_bind(address: IpAddr) -> io::Result<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(true),
        // Of a family that this host does not have, and of a link that was not named.
        Err(error) if is_elsewhere(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn leads_back(address: IpAddr) -> io::Result<bool> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = match UdpSocket::bind((any, 0)) {
        Err(error) if is_elsewhere(&error) => return Ok(false),
        socket => socket?,
    };
    // A port is named, and nothing is sent there.
    match socket.connect((address, 9)) {
        Ok(()) => Ok(socket.local_addr()?.ip() == address),
        // Where there is no way to it, it is not here.
        Err(_) => Ok(false),
    }
}

fn is_elsewhere(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    OsError::from(error).is_lasting() || matches!(error.kind(), InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address that packets for elsewhere come from; `None` on a host without a way out.
    fn address(to: &str) -> Option<IpAddr> {
        let to: IpAddr = to.parse().expect("an address");
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((to, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    }

    /// Row C16: all that leads back is known, and nothing else.
    #[test]
    fn own_addresses_are_known_whoever_has_reached_them() {
        let is_ours = |text: &str| is_this_host(text.parse().expect("an address"));
        for ours in [
            "127.0.0.1",
            "127.0.0.2",
            "::1",
            "::ffff:127.0.0.2",
            "0.0.0.0",
            "::",
        ] {
            assert!(is_ours(ours).expect("a socket"), "{ours}");
        }
        for other in [
            "198.51.100.7",
            "8.8.8.8",
            "2001:db8::7",
            "fe80::7",
            "240.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(!is_ours(other).expect("a socket"), "{other}");
        }
        for outside in ["198.51.100.7", "2001:db8::7"] {
            let Some(ours) = address(outside) else {
                println!("there is no way to {outside} from here: nothing is tried");
                continue;
            };
            assert!(is_this_host(ours).expect("a socket"), "{ours}");
            // The second way, for hosts where every address can be bound.
            assert!(leads_back(ours).expect("a socket"), "{ours}");
        }
        assert!(!leads_back("198.51.100.7".parse().expect("one")).expect("a socket"));
    }
}
