// Program webtransport is webtransport-go, as client and as server.
//
// Its newest client has RESET_STREAM_AT and wants it of servers; the client is built
// of an older version without it, too, by older.mod and the tag of that name.
package main

import "interop/peer"

func main() { peer.Main(client, serves) }
