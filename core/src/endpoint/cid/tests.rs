//! The draft's vectors, and what connection ids must do for whoever reads them.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use super::*;
use crate::endpoint::EndpointConfig;

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.map(|pair| byte(pair).expect("hex")).collect()
}

fn server(bytes: &[u8]) -> ServerId {
    ServerId::new(bytes).expect("in range")
}

fn config(id: u8, server_id: usize, nonce: usize) -> LbConfig {
    LbConfig::new(id, server_id, nonce).expect("in range")
}

fn unlucky() -> u8 {
    panic!("an id without padding that tells its length leaves nothing to luck")
}

/// Ids of server 1 of `config`, from a seed.
fn ids(config: LbConfig) -> generator::Generator {
    let named = server(&[1; 15][..config.server_id_len]);
    let ids = ConnectionIds::new(config, named).expect("suits");
    ids.generator(Luck::new(Some(&[7; 32])))
}

#[test]
fn known_answers_of_the_draft() {
    const KEY: &str = "8f95f09245765f80256934e50c66207f";
    // Key, configuration, server id, nonce, connection id.
    #[rustfmt::skip]
    let vectors = [
        // The example that the draft goes through step by step; its last XOR line
        // misprints an operand, the result is right.
        (Some("fdf726a9893ec05c0632d3956680baf0"), 0, "31441a", "9c69c275", "0767947d29be054a"),
        // "Test vectors", encrypted.
        (Some(KEY), 0, "ed793a", "ee080dbf", "0720b1d07b359d3c"),
        (Some(KEY), 1, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2"),
        (Some(KEY), 2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3"),
        // Its first byte is printed as 12, which is neither this configuration nor
        // this length.
        (Some(KEY), 3, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "725779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
        // "Test vectors", in plaintext; the second of them is garbled.
        (None, 0, "c4605e", "4504cc4f", "07c4605e4504cc4f"),
    ];
    for (key, id, server_id, nonce, cid) in vectors {
        let (named, nonce) = (server(&unhex(server_id)), unhex(nonce));
        let mut config = config(id, server_id.len() / 2, nonce.len());
        if let Some(key) = key {
            config = config.key(unhex(key).try_into().expect("16 bytes"));
        }
        let made = config.encode(&named, &nonce, &mut unlucky).expect("suits");
        assert_eq!(format!("{made:?}"), cid);
        assert_eq!(config.server_id(&unhex(cid)), Some(named), "{cid}");
    }
}

proptest! {
    #[test]
    fn every_configuration_finds_its_server(
        id in 0..7u8,
        named in vec(any::<u8>(), 1..=15),
        nonce in vec(any::<u8>(), 4..=18),
        key in any::<Option<[u8; 16]>>(),
        padding in 0..=14usize,
        self_describing in any::<bool>(),
    ) {
        let block = named.len() + nonce.len();
        prop_assume!(block <= MAX_BLOCK);
        let mut config = config(id, named.len(), nonce.len()).self_describing(self_describing);
        if let Some(key) = key {
            config = config.key(key);
        }
        // As a balancer reads it, who was not told of any padding.
        let balancer = config.clone();
        let len = (1 + block + padding).min(MAX_CID);
        config = config.cid_len(len).expect("in range");
        let cid = config.encode(&server(&named), &nonce, &mut || 0xa5).expect("suits");
        prop_assert_eq!(cid.as_ref().len(), len);
        prop_assert_eq!(config.server_id(cid.as_ref()), Some(server(&named)));
        prop_assert_eq!(balancer.server_id(cid.as_ref()), Some(server(&named)));
    }

    #[test]
    fn nothing_that_a_peer_sends_is_too_strange(datagram in vec(any::<u8>(), 0..64)) {
        let owners = Owners::private(&EndpointConfig::client().seed([3; 32]), 4).expect("in range");
        if let Some(owner) = owners.owner_of(&datagram) {
            prop_assert!(owner < 4);
        }
    }
}

#[test]
fn another_key_names_another_server() {
    for (server_id, nonce) in [(3, 4), (8, 8), (8, 5), (4, 9)] {
        let ours = config(0, server_id, nonce).key([1; 16]);
        let theirs = config(0, server_id, nonce).key([2; 16]);
        let (mut made, named) = (ids(ours.clone()), server(&[1; 15][..server_id]));
        for _ in 0..100 {
            let cid = made.next();
            assert_eq!(ours.server_id(cid.as_ref()), Some(named));
            assert_ne!(theirs.server_id(cid.as_ref()), Some(named), "{cid:?}");
        }
    }
}

#[test]
fn an_endpoint_recognises_its_own_ids_alone() {
    let new = config(1, 2, 6).key([1; 16]);
    let old = config(0, 3, 8).key([9; 16]);
    let ours = ConnectionIds::new(new.clone(), server(&[0, 1]))
        .and_then(|ids| ids.accept(old.clone(), server(&[0, 0, 1])))
        .expect("suits");
    let mut ours = ours.generator(Luck::new(None));
    // All ids are as long as the longest, 1 + 3 + 8.
    assert_eq!((ours.cid_len(), ours.next().as_ref().len()), (12, 12));
    let valid = |cid: &Cid| ours.validate(&ConnectionId::new(cid.as_ref())).is_ok();
    let made = |config: &LbConfig, id: &[u8]| {
        let ids = ConnectionIds::new(config.clone().cid_len(12).expect("fits"), server(id));
        ids.expect("suits").generator(Luck::new(None)).next()
    };
    assert!(valid(&made(&new, &[0, 1])) && valid(&made(&old, &[0, 0, 1])));
    // Another server's, another key's, another configuration's.
    assert!(!valid(&made(&new, &[0, 2])) && !valid(&made(&old, &[0, 0, 2])));
    assert!(!valid(&made(&config(0, 3, 8).key([8; 16]), &[0, 0, 1])));
    assert!(!valid(&made(&config(5, 2, 6).key([1; 16]), &[0, 1])));
}

#[test]
fn ids_do_not_repeat_and_do_not_show_the_server() {
    for config in [
        config(0, 1, 7).key([1; 16]),
        config(0, 8, 8).key([1; 16]),
        config(0, 1, 18).key([1; 16]),
        config(0, 1, 7),
    ] {
        let plaintext = config.cipher.is_plaintext();
        let mut made = ids(config);
        let cids: BTreeSet<Cid> = (0..1000).map(|_| made.next()).collect();
        assert_eq!(cids.len(), 1000);
        // In plaintext the second byte is the server's, otherwise it is anything.
        let second: BTreeSet<u8> = cids.iter().map(|cid| cid.as_ref()[1]).collect();
        assert!(if plaintext {
            second.len() == 1
        } else {
            second.len() > 200
        });
    }
}

#[test]
fn nonces_wrap_around_and_run_out() {
    let mut made = ids(config(2, 1, 4).key([1; 16]));
    let first = made.next();
    assert_eq!((first.as_ref().len(), first.as_ref()[0] >> 5), (8, 2));
    made.set_used((1 << 32) - 1);
    let last = made.next();
    assert_eq!(last.as_ref()[0] >> 5, 2);
    // What follows names nobody, goes on without end, and is still recognised.
    for _ in 0..10 {
        let cid = made.next();
        assert_eq!(
            (cid.as_ref().len(), cid.as_ref()[0]),
            (8, UNROUTABLE << 5 | 7)
        );
        assert!(made.validate(&ConnectionId::new(cid.as_ref())).is_ok());
    }
}

#[test]
fn a_server_without_configuration_says_so() {
    let ids = ConnectionIds::unroutable(10).expect("in range");
    let ids = ids.lifetime(Duration::from_secs(60));
    let mut made = ids.generator(Luck::new(None));
    let (one, other) = (made.next(), made.next());
    assert_eq!(one.as_ref()[0], 0b1110_1001);
    assert!(one.as_ref().len() == 10 && one != other);
    assert_eq!(made.cid_lifetime(), Some(Duration::from_secs(60)));
    assert!(ConnectionIds::unroutable(7).is_err() && ConnectionIds::unroutable(21).is_err());
}

#[test]
fn configurations_out_of_range_are_refused() {
    for (id, server_id, nonce) in [
        (7, 1, 4),
        (0, 0, 4),
        (0, 16, 4),
        (0, 1, 3),
        (0, 1, 19),
        (0, 15, 5),
        (0, usize::MAX, 4),
        (0, 1, usize::MAX),
    ] {
        assert!(
            LbConfig::new(id, server_id, nonce).is_err(),
            "{id} {server_id} {nonce}"
        );
    }
    assert!(config(6, 15, 4).cid_len(19).is_err() && config(6, 1, 18).cid_len(21).is_err());
    assert!(ServerId::new(&[]).is_err() && ServerId::new(&[0; 16]).is_err());
    assert!(ConnectionIds::new(config(0, 2, 6), server(&[1])).is_err());
    let ids = ConnectionIds::new(config(0, 1, 6), server(&[1])).expect("suits");
    assert!(
        ids.accept(config(0, 1, 5), server(&[1])).is_err(),
        "one configuration per id"
    );
    let one = server(&[1]);
    assert!(Owners::new(config(0, 1, 6), vec![one, one]).is_err());
    assert!(Owners::new(config(0, 1, 6), vec![]).is_err());
    let base = EndpointConfig::client();
    assert!(Owners::private(&base, 0).is_err() && Owners::private(&base, 257).is_err());
    let owners = Owners::private(&base, 2).expect("in range");
    assert!(owners.configure(&base, 1).is_ok() && owners.configure(&base, 2).is_err());
}

#[test]
fn debug_output_keeps_the_key() {
    let text = format!("{:?}", config(0, 1, 7).key([0xab; 16]));
    assert!(
        text.contains("FourPass") && !text.contains("171") && !text.contains("ab"),
        "{text}"
    );
}

#[test]
fn packets_find_their_owner() {
    let servers = vec![server(&[4, 2]), server(&[9, 9])];
    let shared = config(3, 2, 9).key([1; 16]);
    let owners = Owners::new(shared.clone(), servers.clone()).expect("suits");
    for (at, named) in servers.iter().enumerate() {
        let ids = ConnectionIds::new(shared.clone(), *named).expect("suits");
        let cid = ids.generator(Luck::new(None)).next();
        // A short header, with and without QUIC's fixed bit (RFC 9287), and a long
        // one of a version to come.
        for first in [0x40, 0x00] {
            let mut short = [&[first], cid.as_ref(), &[1, 2, 3]].concat();
            assert_eq!(owners.owner_of(&short), Some(at));
            short.truncate(cid.as_ref().len());
            assert_eq!(owners.owner_of(&short), None, "cut off");
        }
        let long = [&[0x80, 9, 9, 9, 9, cid.as_ref().len() as u8], cid.as_ref()].concat();
        assert_eq!(owners.owner_of(&long), Some(at));
        assert_eq!(owners.owner_of(&long[..long.len() - 1]), None, "cut off");
    }
    // A third server's, a client's first, and none.
    let third = ConnectionIds::new(shared, server(&[0, 0])).expect("suits");
    let cid = third.generator(Luck::new(None)).next();
    assert_eq!(owners.owner_of(&[&[0x40], cid.as_ref()].concat()), None);
    let initial = [0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    assert_eq!(owners.owner_of(&initial), None);
    assert_eq!(owners.owner_of(&[]), None);
    assert_eq!(owners.owner_of(&[0x40]), None);
}
