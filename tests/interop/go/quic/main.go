// Program quic is QUIC of quic-go with protocols of its own, both ways.
package main

import "interop/peer"

func main() { peer.Main(client, server) }
