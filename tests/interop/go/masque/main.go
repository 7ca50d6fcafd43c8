// Program masque is masque-go: UDP proxied by CONNECT-UDP (RFC 9298), as client and as proxy.
//
//	masque client CASE TEMPLATE --ca FILE target=HOST:PORT [NAME=VALUE...]
//	masque server --cert FILE --key FILE [path=TEMPLATE]
//
// TEMPLATE is a URI template with {target_host} and {target_port}; the server's has neither scheme nor
// authority, and is RFC 9298's own when it is not given. The server forwards to loopback alone.
package main

import "interop/peer"

// defaultPath is RFC 9298's own template, section 3.
const defaultPath = "/.well-known/masque/udp/{target_host}/{target_port}/"

// packet is the size of packets outside a tunnel: the least, 1,200 bytes, fits inside.
const packet = 1350

func main() { peer.Main(client, proxy) }
