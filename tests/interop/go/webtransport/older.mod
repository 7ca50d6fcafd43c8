// The last version whose client opens sessions with a server without RESET_STREAM_AT.
module interop/webtransport

go 1.26

require (
	github.com/quic-go/quic-go v0.60.0
	github.com/quic-go/webtransport-go v0.10.0
	interop/peer v0.0.0
)

require (
	github.com/dunglas/httpsfv v1.1.0 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	golang.org/x/crypto v0.51.0 // indirect
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
	golang.org/x/text v0.37.0 // indirect
)

replace interop/peer => ../peer
