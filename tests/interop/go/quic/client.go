package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/quic-go/quic-go"

	"interop/peer"
)

// client does one thing with a server that echoes.
func client(ctx context.Context, name string, arguments *peer.Arguments) error {
	trust, err := arguments.Trust()
	if err != nil {
		return err
	}
	trust.NextProtos = arguments.Protocols
	target, err := url.Parse(arguments.URL)
	if err != nil {
		return err
	}
	server, err := net.ResolveUDPAddr("udp4", target.Host)
	if err != nil {
		return err
	}
	transport, err := socket()
	if err != nil {
		return err
	}
	defer transport.Close()
	connection, err := transport.Dial(ctx, server, trust, &quic.Config{EnableDatagrams: true})
	if name == "mismatch" {
		var failed *quic.TransportError
		if !errors.As(err, &failed) {
			return fmt.Errorf("no transport error: %w", err)
		}
		peer.Say(peer.Fields{"code": uint64(failed.ErrorCode), "remote": failed.Remote})
		return nil
	}
	if err != nil {
		return err
	}
	defer connection.CloseWithError(0, "")
	code, err := arguments.Number("code", 0)
	if err != nil {
		return err
	}
	count, err := arguments.Size("count", 1)
	if err != nil {
		return err
	}
	size, err := arguments.Size("size", 0)
	if err != nil {
		return err
	}
	switch name {
	case "streams":
		for number := range count {
			if err := echo(ctx, connection, peer.Noise(size+number)); err != nil {
				return fmt.Errorf("stream %d: %w", number, err)
			}
		}
	case "at-once":
		err := peer.All(count, func(number int) error {
			return echo(ctx, connection, peer.Noise(size+number))
		})
		if err != nil {
			return err
		}
	case "one-way":
		if err := oneWay(ctx, connection, peer.Noise(size)); err != nil {
			return err
		}
	case "datagrams":
		for number := range count {
			sent := fmt.Appendf(nil, "datagram %d", number)
			if err := connection.SendDatagram(sent); err != nil {
				return err
			}
			came, err := connection.ReceiveDatagram(ctx)
			if err != nil {
				return err
			}
			if err := peer.Same(came, sent); err != nil {
				return err
			}
		}
	case "reset", "stop":
		return codes(ctx, connection, name, quic.StreamErrorCode(code))
	case "close":
		if err := echo(ctx, connection, []byte("hello")); err != nil {
			return err
		}
		return connection.CloseWithError(quic.ApplicationErrorCode(code), arguments.Text("reason"))
	case "closed":
		return closed(ctx, connection)
	case "move":
		return move(ctx, connection)
	default:
		return fmt.Errorf("no such case: %s", name)
	}
	peer.Say(peer.Fields{"protocol": connection.ConnectionState().TLS.NegotiatedProtocol})
	return nil
}

func socket() (*quic.Transport, error) {
	bound, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: bound}, nil
}

// echo has bytes come back on a stream.
func echo(ctx context.Context, connection *quic.Conn, data []byte) error {
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := stream.Write(data)
		wrote <- errors.Join(err, stream.Close())
	}()
	came, err := io.ReadAll(stream)
	if err := errors.Join(err, <-wrote); err != nil {
		return err
	}
	return peer.Same(came, data)
}

// oneWay has bytes come back on another stream.
func oneWay(ctx context.Context, connection *quic.Conn, data []byte) error {
	stream, err := connection.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := stream.Write(data)
		wrote <- errors.Join(err, stream.Close())
	}()
	back, err := connection.AcceptUniStream(ctx)
	if err != nil {
		return err
	}
	came, err := io.ReadAll(back)
	if err := errors.Join(err, <-wrote); err != nil {
		return err
	}
	return peer.Same(came, data)
}

// codes resets or stops a stream that has been answered, and tells what comes back.
func codes(ctx context.Context, connection *quic.Conn, name string, code quic.StreamErrorCode) error {
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	hello := []byte("hello")
	if _, err := stream.Write(hello); err != nil {
		return err
	}
	came := make([]byte, len(hello))
	if _, err := io.ReadFull(stream, came); err != nil || !bytes.Equal(came, hello) {
		return fmt.Errorf("no echo: %q, %w", came, err)
	}
	var told *quic.StreamError
	if name == "reset" {
		stream.CancelWrite(code)
		_, err = stream.Read(came)
	} else {
		stream.CancelRead(code)
		// The server stops what it has no use for.
		<-stream.Context().Done()
		err = context.Cause(stream.Context())
	}
	if !errors.As(err, &told) {
		return fmt.Errorf("no error of the stream: %w", err)
	}
	peer.Say(peer.Fields{"code": uint64(told.ErrorCode), "remote": told.Remote})
	return nil
}

// closed says something and tells how the server closes the connection.
func closed(ctx context.Context, connection *quic.Conn) error {
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("hello")); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	select {
	case <-connection.Context().Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	var told *quic.ApplicationError
	if !errors.As(context.Cause(connection.Context()), &told) {
		return fmt.Errorf("closed otherwise: %w", context.Cause(connection.Context()))
	}
	peer.Say(peer.Fields{
		"code": uint64(told.ErrorCode), "reason": told.ErrorMessage, "remote": told.Remote,
	})
	return nil
}

// move goes over to another socket while a stream is under way.
func move(ctx context.Context, connection *quic.Conn) error {
	if err := echo(ctx, connection, peer.Noise(100_000)); err != nil {
		return err
	}
	other, err := socket()
	if err != nil {
		return err
	}
	path, err := connection.AddPath(other)
	if err != nil {
		return err
	}
	if err := path.Probe(ctx); err != nil {
		return fmt.Errorf("probing: %w", err)
	}
	if err := path.Switch(); err != nil {
		return fmt.Errorf("switching: %w", err)
	}
	if err := echo(ctx, connection, peer.Noise(100_000)); err != nil {
		return fmt.Errorf("on the new path: %w", err)
	}
	peer.Say(peer.Fields{"address": connection.LocalAddr().String()})
	return nil
}
