package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"interop/peer"
)

const (
	closeSession http3.CapsuleType    = 0x2843
	sessionGone  quic.StreamErrorCode = 0x170d7b68
	atOnce                            = 10
)

// sessions opens WebTransport sessions on one connection and closes each with its number as the code,
// in the three frames that webtransport-go closes with: the capsule, STOP_SENDING and FIN. It opens
// none itself with a server that lacks RESET_STREAM_AT, and its older versions end the connection at
// once. Which frames share a packet, and in what order, is up to quic-go.
func sessions(ctx context.Context, trust *tls.Config, target string, count int) error {
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	connection, err := quic.DialAddr(ctx, to.Host, trust, &quic.Config{EnableDatagrams: true})
	if err != nil {
		return err
	}
	defer connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	transport := &http3.Transport{EnableDatagrams: true}
	http3Connection := transport.NewClientConn(connection)
	select {
	case <-http3Connection.ReceivedSettings():
	case <-ctx.Done():
		return ctx.Err()
	}
	// A server has a limit of sessions at once.
	for begun := 0; begun < count; begun += atOnce {
		err := peer.All(min(atOnce, count-begun), func(number int) error {
			return session(ctx, http3Connection, to, uint32(begun+number))
		})
		if err != nil {
			return err
		}
	}
	// What has not been sent when a connection is closed is lost; this goes after it.
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return err
	}
	if _, err := http3Connection.RoundTrip(request); err != nil {
		return err
	}
	peer.Say(peer.Fields{"closed": count})
	return nil
}

func session(ctx context.Context, connection *http3.ClientConn, to *url.URL, number uint32) error {
	stream, err := connection.OpenRequestStream(ctx)
	if err != nil {
		return err
	}
	request := &http.Request{
		Method: http.MethodConnect, Proto: "webtransport", Host: to.Host, URL: to, Header: http.Header{},
	}
	if err := stream.SendRequestHeader(request.WithContext(ctx)); err != nil {
		return err
	}
	response, err := stream.ReadResponse()
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	value := append(binary.BigEndian.AppendUint32(nil, number), fmt.Sprintf("session %d", number)...)
	capsule := func() error {
		return http3.WriteCapsule(quicvarint.NewWriter(stream), closeSession, value)
	}
	switch number % 3 {
	case 0: // as it does
		if err := capsule(); err != nil {
			return err
		}
		stream.CancelRead(sessionGone)
		return stream.Close()
	case 1: // the stop ahead of all
		stream.CancelRead(sessionGone)
		if err := capsule(); err != nil {
			return err
		}
		return stream.Close()
	default: // without a stop, to the server's own FIN
		if err := capsule(); err != nil {
			return err
		}
		if err := stream.Close(); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, stream)
		return err
	}
}
