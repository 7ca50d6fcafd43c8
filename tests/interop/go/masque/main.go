// Program masque tunnels UDP and TCP through HTTP/3 of quic-go, as client and as proxy. The library has
// extended CONNECT, datagrams and capsules; what RFC 9298 and connect-tcp make of them is written here.
package main

import "interop/peer"

func main() { peer.Main(client, server) }
