// Program http3 is HTTP/3 of quic-go: plain requests, both ways.
package main

import "interop/peer"

func main() { peer.Main(client, server) }
