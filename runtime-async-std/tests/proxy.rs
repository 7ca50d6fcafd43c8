//! The proxy of the example, and who uses it (rows C7, C11, C17).

#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/proxy.rs"]
mod proxy;
mod support;

#[test]
fn tunnels_for_udp_and_tcp_lead_there_and_back() {
    let talk = support::try_out(proxy::serve, proxy::talk);
    assert_eq!(talk, "hello by UDP, hello by TCP");
}
