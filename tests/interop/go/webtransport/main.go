// Program webtransport is webtransport-go, as client and as server.
//
// Its newest client opens no session with a server that lacks RESET_STREAM_AT, so the client is built
// of an older version, too, by older.mod and the tag of that name.
package main

import "interop/peer"

func main() { peer.Main(client, serves) }
