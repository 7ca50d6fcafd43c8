package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/masque-go"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/yosida95/uritemplate/v3"

	"interop/peer"
)

// Datagrams that are on the way at once.
const window = 8

// How long an echo is waited for before its datagram is sent again.
const echoTimeout = time.Second

// How often a datagram is sent: each may be lost.
const tries = 5

func client(ctx context.Context, name string, arguments *peer.Arguments) error {
	trust, err := arguments.Trust()
	if err != nil {
		return err
	}
	template, err := uritemplate.New(arguments.URL)
	if err != nil {
		return err
	}
	transport := &masque.Transport{
		TLSClientConfig: trust,
		// Room for a QUIC packet inside.
		QUICConfig: &quic.Config{EnableDatagrams: true, InitialPacketSize: packet},
	}
	target := arguments.Text("target")
	switch name {
	case "connect":
		return connect(ctx, transport, template, target)
	case "echo":
		count, err := arguments.Size("count", 1)
		if err != nil {
			return err
		}
		size, err := arguments.Size("size", 100)
		if err != nil {
			return err
		}
		return one(ctx, transport, template, target, count, size)
	case "many":
		tunnels, err := arguments.Size("tunnels", 1)
		if err != nil {
			return err
		}
		return many(ctx, transport, template, target, tunnels)
	case "http3":
		return fetch(ctx, transport, template, target, arguments)
	default:
		return fmt.Errorf("no such case: %s", name)
	}
}

func open(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
) (*masque.Conn, *http.Response, error) {
	request, err := masque.NewRequest(ctx, template, target)
	if err != nil {
		return nil, nil, err
	}
	return transport.Dial(request)
}

// answer is what a proxy says of a tunnel.
func answer(response *http.Response) peer.Fields {
	return peer.Fields{
		"status":           response.StatusCode,
		"proxy_status":     response.Header.Get("Proxy-Status"),
		"capsule_protocol": response.Header.Get(http3.CapsuleProtocolHeader),
	}
}

// connect tells how the proxy answers.
func connect(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
) error {
	tunnel, response, err := open(ctx, transport, template, target)
	if response == nil {
		return err
	}
	seen := answer(response)
	seen["accepted"] = err == nil
	if err == nil {
		seen["remote"] = tunnel.RemoteAddr().String()
		if err := tunnel.Close(); err != nil {
			return err
		}
	}
	peer.Say(seen)
	return nil
}

func one(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
	count, size int,
) error {
	tunnel, response, err := open(ctx, transport, template, target)
	if err != nil {
		return err
	}
	sent, err := echo(tunnel, count, size)
	if err != nil {
		return err
	}
	seen := answer(response)
	seen["echoed"], seen["sent"] = count, sent
	peer.Say(seen)
	return tunnel.Close()
}

// echo sends datagrams of one size, each with its number, and checks what comes back. It returns how
// many were sent, those included that were sent again.
func echo(tunnel net.PacketConn, count, size int) (int, error) {
	if size < 4 {
		return 0, errors.New("a datagram has a number of four bytes")
	}
	sent := 0
	buffer := make([]byte, 1<<16)
	for first := 0; first < count; first += window {
		missing := map[string]bool{}
		for number := first; number < min(first+window, count); number++ {
			missing[string(payload(number, size))] = true
		}
		for try := 0; len(missing) > 0; try++ {
			if try == tries {
				return sent, fmt.Errorf("%d datagrams of %d bytes got no echo", len(missing), size)
			}
			for datagram := range missing {
				if _, err := tunnel.WriteTo([]byte(datagram), nil); err != nil {
					return sent, err
				}
				sent++
			}
			if err := tunnel.SetReadDeadline(time.Now().Add(echoTimeout)); err != nil {
				return sent, err
			}
			for len(missing) > 0 {
				read, _, err := tunnel.ReadFrom(buffer)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				if err != nil {
					return sent, err
				}
				came := string(buffer[:read])
				if !missing[came] && !repeated(came, first+window, size) {
					return sent, fmt.Errorf("%d bytes came that were never sent", read)
				}
				delete(missing, came)
			}
		}
	}
	return sent, nil
}

// payload is a datagram's own bytes.
func payload(number, size int) []byte {
	bytes := peer.Noise(size)
	for at := range 4 {
		bytes[at] = byte(number >> (8 * at))
	}
	return bytes
}

// repeated tells whether a datagram is the late echo of one that was sent twice.
func repeated(came string, sent, size int) bool {
	for number := range sent {
		if came == string(payload(number, size)) {
			return true
		}
	}
	return false
}

// many opens tunnels over one connection, all at once, and uses each.
func many(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
	tunnels int,
) error {
	probe, err := masque.NewRequest(ctx, template, target)
	if err != nil {
		return err
	}
	connection, err := dial(ctx, transport, template, target)
	if err != nil {
		return err
	}
	defer connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	requests, err := transport.NewClientConn(connection)
	if err != nil {
		return err
	}
	// One that is over leaves the others alone.
	first, _, err := requests.Dial(probe)
	if err != nil {
		return err
	}
	if err := first.Close(); err != nil {
		return err
	}
	err = peer.All(tunnels, func(int) error {
		request, err := masque.NewRequest(ctx, template, target)
		if err != nil {
			return err
		}
		tunnel, _, err := requests.Dial(request)
		if err != nil {
			return err
		}
		_, err = echo(tunnel, window, 200)
		return errors.Join(err, tunnel.Close())
	})
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"tunnels": tunnels})
	return nil
}

func dial(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
) (*quic.Conn, error) {
	host, err := authority(template, target)
	if err != nil {
		return nil, err
	}
	return quic.DialAddr(ctx, host, transport.TLSClientConfig, transport.QUICConfig)
}

// fetch downloads over HTTP/3 inside a tunnel: QUIC in QUIC. The target is an HTTP/3 server with the
// resource /bytes/SIZE, whose certificate --ca vouches for, too.
func fetch(
	ctx context.Context, transport *masque.Transport, template *uritemplate.Template, target string,
	arguments *peer.Arguments,
) error {
	size, err := arguments.Size("size", 100_000)
	if err != nil {
		return err
	}
	tunnel, _, err := open(ctx, transport, template, target)
	if err != nil {
		return err
	}
	server, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return err
	}
	trust, err := arguments.Trust()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return err
	}
	trust.ServerName = host
	// The tunnel has no room for larger packets than the least.
	config := &quic.Config{InitialPacketSize: 1200, DisablePathMTUDiscovery: true}
	inner, err := quic.Dial(ctx, tunnel, server, trust, config)
	if err != nil {
		return err
	}
	requests := (&http3.Transport{}).NewClientConn(inner)
	content, err := download(ctx, requests, fmt.Sprintf("https://%s/bytes/%d", target, size))
	if err != nil {
		return err
	}
	if err := peer.Same(content, peer.Pattern(size)); err != nil {
		return err
	}
	peer.Say(peer.Fields{"size": size})
	return errors.Join(
		inner.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), ""), tunnel.Close(),
	)
}
