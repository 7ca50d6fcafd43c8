//! What the two ends of a session have agreed on.

use aqueduct_tokio::error::AcceptError;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::dialect::Dialect;

use crate::harness::{Pair, within};

#[tokio::test]
async fn an_application_protocol_is_one_of_those_offered() {
    // Row B30
    within(async {
        let pair = Pair::new().await;
        let mut request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
        let (client, server) = pair.session().await;
        assert_eq!((client.protocol(), server.protocol()), (None, None));

        request.protocols = vec!["chat/2".into(), "chat/1".into()];
        let (client, server) = tokio::join!(pair.client.open_session(request.clone()), async {
            let asked = pair.server.accept_session().await.expect("arrives");
            assert_eq!(asked.protocols(), ["chat/2", "chat/1"]);
            asked.accept_with_protocol("chat/1").expect("still wanted")
        });
        let client = client.expect("is accepted");
        assert_eq!(client.protocol(), Some("chat/1"));
        assert_eq!(server.protocol(), Some("chat/1"));

        let (rejected, ()) = tokio::join!(pair.client.open_session(request), async {
            let asked = pair.server.accept_session().await.expect("arrives");
            let error = asked.accept_with_protocol("mail").expect_err("not offered");
            assert_eq!(error, AcceptError::ProtocolNotOffered);
        });
        rejected.expect_err("the server did not know what to do");
    })
    .await;
}

#[tokio::test]
async fn keying_material_is_the_sessions_own() {
    // Row B31
    within(async {
        let pair = Pair::new().await;
        let (client, server) = pair.session().await;
        let (other, _server_other) = pair.session().await;
        let export = |session: &aqueduct_tokio::Session, label: &[u8], context: &[u8]| {
            let mut out = [0; 32];
            let exported = session.export_keying_material(&mut out, label, context);
            exported.map(|()| out)
        };
        let ours = export(&client, b"label", b"context").expect("open");
        assert_eq!(export(&server, b"label", b"context"), Ok(ours));
        for different in [
            export(&client, b"label", b""),
            export(&client, b"labelc", b"ontext"),
            export(&other, b"label", b"context"),
        ] {
            assert_ne!(different, Ok(ours));
        }
        export(&client, &[0; 256], b"").expect_err("255 bytes at most");
    })
    .await;
}

#[tokio::test]
async fn both_ends_know_the_dialect() {
    // Rows B1, B28
    within(async {
        let pair = Pair::new().await;
        pair.client.settings().await.expect("arrive");
        pair.server.settings().await.expect("arrive");
        let agreed = pair.client.negotiated().expect("both speak it");
        assert_eq!(pair.server.negotiated(), Ok(agreed));
        assert_eq!(agreed.dialect, Dialect::Draft15);
        let (client, _server) = pair.session().await;
        let stats = client.stats().expect("open");
        assert_eq!(stats.flow_control.is_some(), agreed.flow_control);
    })
    .await;
}
