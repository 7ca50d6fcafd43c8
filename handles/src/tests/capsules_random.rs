//! Capsules between tasks that give up at any moment.

use aqueduct_core::capsule::{CapsuleType, RawCapsule};
use aqueduct_core::testing::loopback::Rng;

use super::capsules::{pair, pattern};
use super::*;

/// Polls a few times, then gives up, unless it is done.
fn try_some<T>(net: &mut Net, rng: &mut Rng, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..=rng.below(3) {
        if let Some(done) = poll(future.as_mut()) {
            return Some(done);
        }
        match rng.below(3) {
            0 => {}
            1 => _ = net.turn(),
            _ => net.settle(),
        }
    }
    None
}

/// Whatever is dropped when, what is read are whole capsules of those that were begun,
/// in their order.
#[test]
fn what_is_read_stays_capsules() {
    for seed in 0..8 {
        let mut rng = Rng::new(seed);
        let mut net = Net::new();
        let (mut client, mut server) = pair(&mut net);
        let mut next = 0;
        let mut got: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut collected: Vec<u8> = Vec::new();
        let mut header = None;
        let mut begun: Option<(u64, u64)> = None;
        for _ in 0..300 {
            if rng.below(2) == 0 {
                // The sender.
                if client.send.left() > 0 {
                    let left_now = client.send.left();
                    let (_, len) = begun.expect("begun");
                    let from = (len - left_now) as usize;
                    let part = (1 + rng.below(left_now)) as usize;
                    let value = pattern(len as usize).slice(from..from + part);
                    match try_some(&mut net, &mut rng, client.send_piece(value)) {
                        None | Some(Ok(())) => {}
                        other => panic!("SEED={seed} {other:?}"),
                    }
                    continue;
                }
                let len = [0, 1, 70, 5_000, 200_000][rng.below(5) as usize];
                let ty = CapsuleType(1_000 + next);
                next += 1;
                let sent = if rng.below(2) == 0 {
                    try_some(&mut net, &mut rng, client.send(ty, pattern(len)))
                } else {
                    begun = Some((ty.0, len as u64));
                    try_some(&mut net, &mut rng, client.send_header(ty, len as u64))
                };
                assert!(matches!(sent, None | Some(Ok(()))), "SEED={seed} {sent:?}");
                continue;
            }
            // The receiver: whole, or in pieces.
            if header.is_none() && rng.below(2) == 0 {
                if let Some(capsule) = try_some(&mut net, &mut rng, server.recv(1 << 20)) {
                    let RawCapsule { ty, value } = capsule.expect("whole").expect("not ended");
                    got.push((ty.0, value.to_vec()));
                }
            } else if header.is_none() {
                if let Some(told) = try_some(&mut net, &mut rng, server.recv_header()) {
                    header = Some(told.expect("whole").expect("not ended"));
                    collected.clear();
                }
            } else if let Some(piece) = try_some(&mut net, &mut rng, server.recv_piece()) {
                match piece.expect("whole") {
                    Some(piece) => collected.extend_from_slice(&piece),
                    None => {
                        let told = header.take().expect("begun");
                        assert_eq!(told.len as usize, collected.len(), "SEED={seed}");
                        got.push((told.ty.0, std::mem::take(&mut collected)));
                    }
                }
            }
        }
        // Whoever does not give up gets through to the end.
        let sending = async {
            let left = client.send.left();
            if left > 0 {
                let (_, len) = begun.expect("begun");
                let rest = pattern(len as usize).slice((len - left) as usize..);
                client.send.send_piece(rest).await?;
            }
            client.send.finish().await
        };
        let receiving = async {
            if let Some(told) = header {
                while let Some(piece) = server.recv.recv_piece().await? {
                    collected.extend_from_slice(&piece);
                }
                assert_eq!(told.len as usize, collected.len(), "SEED={seed}");
                got.push((told.ty.0, collected));
            }
            while let Some(RawCapsule { ty, value }) = server.recv.recv(1 << 20).await? {
                got.push((ty.0, value.to_vec()));
            }
            Ok::<_, ReadError>(got)
        };
        let (sent, got) = net.run(both(sending, receiving));
        assert_eq!(sent, Ok(()), "SEED={seed}");
        let got = got.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
        let mut last = None;
        for (ty, value) in &got {
            assert!(last < Some(*ty), "SEED={seed}: order");
            last = Some(*ty);
            assert!(pattern(value.len()) == value[..], "SEED={seed}: {ty}");
        }
        assert!(got.len() > 5, "SEED={seed}: {}", got.len());
    }
}
