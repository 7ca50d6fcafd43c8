package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

// What carries TCP's bytes, by the name of the protocol; the numbers are provisional. The final name
// has the newest of them.
// https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html
var contents = map[string]struct{ data, final uint64 }{
	"connect-tcp":    {0x2028d7f2, 0x2028d7f3},
	"connect-tcp-12": {0x2028d7f2, 0x2028d7f3},
	"connect-tcp-07": {0x2028d7f0, 0x2028d7f1},
}

// tcp sends `size` bytes to an echo in capsules of several sizes, ends its side, and wants them back with
// the end of the other.
func tcp(ctx context.Context, proxy *proxy, target string, arguments *peer.Arguments) error {
	protocol := arguments.Text("protocol")
	kinds, found := contents[protocol]
	if !found {
		return fmt.Errorf("no such protocol: %q", protocol)
	}
	size, err := arguments.Size("size", 1)
	if err != nil {
		return err
	}
	stream, response, err := proxy.ask(ctx, protocol, target)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	sent := peer.Noise(size)
	go func() {
		rest := sent
		for piece := 1; len(rest) > 0; piece = min(piece*3+1, 40_000) {
			// An empty one, an unknown one, and one of the content.
			part := rest[:min(len(rest), piece)]
			rest = rest[len(part):]
			whole := append(capsule(kinds.data, nil), capsule(0x1717, part)...)
			if _, err := stream.Write(append(whole, capsule(kinds.data, part)...)); err != nil {
				return
			}
		}
		stream.Write(capsule(kinds.final, nil))
		stream.Close()
	}()
	came, err := readContent(stream, kinds.data, kinds.final)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(came), err)
	}
	peer.Say(peer.Fields{"echoed": len(came)})
	return peer.Same(came, sent)
}

// readContent reads all that a TCP connection's other end sends, which the final capsule ends.
func readContent(stream io.Reader, data, final uint64) ([]byte, error) {
	came := []byte{}
	capsules := http3.NewCapsuleParser(stream)
	over := false
	for {
		kind, content, err := capsules.Next()
		if err == io.EOF && over {
			return came, nil
		}
		if err == io.EOF {
			return came, errors.New("FIN without the final capsule")
		}
		if err != nil {
			return came, err
		}
		value, err := io.ReadAll(content)
		if err != nil {
			return came, err
		}
		switch uint64(kind) {
		case data, final:
			if over {
				return came, errors.New("content after the final capsule")
			}
			came = append(came, value...)
			over = uint64(kind) == final
		}
	}
}
