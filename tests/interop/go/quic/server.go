package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"interop/peer"
)

// server does what the protocol of a connection is called.
func server(socket net.PacketConn, identity tls.Certificate, arguments *peer.Arguments) error {
	transport := &quic.Transport{Conn: socket}
	config := &tls.Config{
		Certificates: []tls.Certificate{identity},
		NextProtos:   arguments.Protocols,
		MinVersion:   tls.VersionTLS13,
	}
	listener, err := transport.Listen(config, &quic.Config{EnableDatagrams: true})
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		go serve(connection)
	}
}

func serve(connection *quic.Conn) {
	ctx := connection.Context()
	name := connection.ConnectionState().TLS.NegotiatedProtocol
	peer.Event("connected", peer.Fields{"protocol": name})
	go func() {
		<-ctx.Done()
		var told *quic.ApplicationError
		if errors.As(context.Cause(ctx), &told) {
			peer.Event("closed", peer.Fields{
				"code": uint64(told.ErrorCode), "reason": told.ErrorMessage, "remote": told.Remote,
			})
		}
	}()
	go func() {
		for {
			datagram, err := connection.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			// What has no room is lost.
			_ = connection.SendDatagram(datagram)
		}
	}()
	go func() {
		for {
			stream, err := connection.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			go func() {
				back, err := connection.OpenUniStreamSync(ctx)
				if err != nil {
					return
				}
				if _, err := io.Copy(back, stream); err == nil {
					back.Close()
				}
			}()
		}
	}()
	if name == "push" {
		push(ctx, connection)
	}
	for {
		stream, err := connection.AcceptStream(ctx)
		if err != nil {
			return
		}
		go answer(connection, stream, name)
	}
}

// push asks on a stream of the server's own.
func push(ctx context.Context, connection *quic.Conn) {
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return
	}
	if _, err := stream.Write([]byte("who? ")); err != nil {
		return
	}
	if _, err := io.Copy(stream, stream); err == nil {
		stream.Close()
	}
}

func answer(connection *quic.Conn, stream *quic.Stream, name string) {
	if name == "echo" {
		_, err := io.Copy(stream, stream)
		var told *quic.StreamError
		switch {
		case errors.As(err, &told):
			peer.Event("stream", peer.Fields{"code": uint64(told.ErrorCode), "remote": told.Remote})
			stream.CancelWrite(told.ErrorCode)
			stream.CancelRead(told.ErrorCode)
		case err == nil:
			stream.Close()
		}
		return
	}
	text, err := bufio.NewReader(stream).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return
	}
	code, err := strconv.ParseUint(strings.TrimSpace(text), 10, 62)
	if err != nil {
		return
	}
	switch name {
	case "reset":
		stream.CancelWrite(quic.StreamErrorCode(code))
	case "stop":
		stream.CancelRead(quic.StreamErrorCode(code))
		// The end is not to overtake it.
		time.Sleep(100 * time.Millisecond)
		stream.Close()
	case "close":
		reason := "reason " + strconv.FormatUint(code, 10)
		_ = connection.CloseWithError(quic.ApplicationErrorCode(code), reason)
	}
}
