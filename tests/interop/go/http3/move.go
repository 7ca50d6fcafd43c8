package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

// move downloads on one socket, goes over to another while the connection lives, and downloads again.
func move(ctx context.Context, trust *tls.Config, target string) error {
	const size = 300_000
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	server, err := net.ResolveUDPAddr("udp4", to.Host)
	if err != nil {
		return err
	}
	first, err := socket()
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := socket()
	if err != nil {
		return err
	}
	defer second.Close()
	connection, err := first.Dial(ctx, server, trust, &quic.Config{})
	if err != nil {
		return err
	}
	defer connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	transport := &http3.Transport{}
	requests := transport.NewClientConn(connection)
	download := func() error {
		_, content, err := ask(ctx, requests, http.MethodGet, fmt.Sprintf("%s/%d", target, size), nil)
		if err != nil {
			return err
		}
		return peer.Same(content, peer.Pattern(size))
	}
	if err := download(); err != nil {
		return err
	}
	before := connection.LocalAddr().String()
	path, err := connection.AddPath(second)
	if err != nil {
		return err
	}
	if err := path.Probe(ctx); err != nil {
		return fmt.Errorf("probing: %w", err)
	}
	if err := path.Switch(); err != nil {
		return fmt.Errorf("switching: %w", err)
	}
	if err := download(); err != nil {
		return fmt.Errorf("on the new path: %w", err)
	}
	peer.Say(peer.Fields{"moved": connection.LocalAddr().String() != before})
	return nil
}

func socket() (*quic.Transport, error) {
	bound, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: bound}, nil
}
