//! `moq-lite`, the older name, which awaits its sessions (web-transport-trait 0.3).

use bytes::Bytes;
use moq_lite::{Broadcast, Client, Origin, Server, Track};

use crate::{Meeting, groups, within};

#[tokio::test]
async fn the_older_crate_runs_on_our_sessions() {
    within(async {
        let meeting = Meeting::new();
        let (ours, theirs, _server) = meeting.session("moq-lite-04").await;
        let published = Origin::random().produce();
        let mut broadcast = Broadcast::new().produce();
        let mut track = broadcast
            .create_track(Track::new("video"))
            .expect("is free");
        assert!(published.publish_broadcast("room/alice", broadcast.consume()));

        let wanted = Origin::random().produce();
        let client = Client::new().with_publish(published.consume());
        let server = Server::new().with_consume(wanted.clone());
        let (client, server) = tokio::join!(client.connect(ours), server.accept(theirs));
        let (_client, _server) = (client.expect("shakes hands"), server.expect("shakes hands"));

        let remote = wanted.consume().announced_broadcast("room/alice").await;
        let mut reader = remote
            .expect("is announced")
            .subscribe_track(&Track::new("video"))
            .expect("is served");
        track.used().await.expect("live");
        for frames in groups() {
            let mut group = track.append_group().expect("open");
            for frame in &frames {
                group.write_frame(frame.clone()).expect("open");
            }
            group.finish().expect("open");
            let mut group = reader.next_group().await.expect("live").expect("arrives");
            let mut read: Vec<Bytes> = Vec::new();
            while let Some(frame) = group.read_frame().await.expect("goes on") {
                read.push(frame);
            }
            assert!(read == frames);
        }
    })
    .await;
}
