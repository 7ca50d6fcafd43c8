package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

// ahead asks once, and then another server with a ticket of the first, ahead of the handshake.
func ahead(ctx context.Context, trust *tls.Config, first, second string) error {
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	// Tickets are kept by this name.
	trust.ServerName = "localhost"
	seen := []peer.Fields{}
	for _, target := range []string{first, second} {
		to, err := url.Parse(target)
		if err != nil {
			return err
		}
		address, err := net.ResolveUDPAddr("udp4", to.Host)
		if err != nil {
			return err
		}
		connection, err := quic.DialAddrEarly(ctx, address.String(), trust, &quic.Config{})
		if err != nil {
			return err
		}
		transport := &http3.Transport{}
		method := http3.MethodGet0RTT
		_, content, err := ask(ctx, transport.NewClientConn(connection), method, target, nil)
		<-connection.HandshakeComplete()
		// The error may be that of whatever the rejection cut short.
		rejected := err != nil && !connection.ConnectionState().Used0RTT
		state := connection.ConnectionState()
		if rejected {
			// http3 does not begin again by itself.
			connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
			connection, err = quic.DialAddr(ctx, address.String(), trust, &quic.Config{})
			if err != nil {
				return err
			}
			_, content, err = ask(ctx, transport.NewClientConn(connection), http.MethodGet, target, nil)
		}
		if err != nil {
			return err
		}
		seen = append(seen, peer.Fields{
			"resumed": state.TLS.DidResume, "early": state.Used0RTT, "rejected": rejected,
			"told": strings.TrimSpace(string(content)),
		})
		connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	peer.Say(peer.Fields{"connections": seen})
	return nil
}

// goaway has many requests under way when the server goes away, and goes on asking. Each has a path of
// its own, by its size.
func goaway(ctx context.Context, transport *http3.Transport, url string, count, size int) error {
	// One connection: what it does not take any more is not asked for on another.
	one, _, err := ask(ctx, transport, http.MethodGet, url+"/bytes/1", nil)
	if err != nil || one.StatusCode != http.StatusOK {
		return fmt.Errorf("no connection: %v, %w", one, err)
	}
	var lock sync.Mutex
	answered, failed := []string{}, map[string]string{}
	err = peer.All(count, func(number int) error {
		path := fmt.Sprintf("/bytes/%d", size+number)
		if number == count/2 {
			path = "/goaway"
		}
		response, content, err := ask(ctx, transport, http.MethodGet, url+path, nil)
		lock.Lock()
		defer lock.Unlock()
		switch {
		case err != nil:
			failed[path] = err.Error()
		case path != "/goaway" && len(content) != size+number:
			return fmt.Errorf("%s: status %d, %d bytes", path, response.StatusCode, len(content))
		default:
			answered = append(answered, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"answered": answered, "failed": failed})
	return nil
}
