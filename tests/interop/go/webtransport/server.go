//go:build !older

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"interop/peer"
)

// server has the session resources of `aqueduct serve --demo`. With window=N and streams=N its
// sessions have limits of their own.
func server(socket net.PacketConn, identity tls.Certificate, arguments *peer.Arguments) error {
	window, err := arguments.Number("window", 0)
	if err != nil {
		return err
	}
	streams, err := arguments.Number("streams", 0)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{identity}}
	serving := &webtransport.Server{
		H3: &http3.Server{Handler: mux, TLSConfig: http3.ConfigureTLSConfig(tlsConfig)},
		Config: &webtransport.Config{
			MaxIncomingData:       int64(window),
			MaxIncomingStreams:    int64(streams),
			MaxIncomingUniStreams: int64(streams),
		},
		ApplicationProtocols: arguments.Protocols,
	}
	resource := func(path string, use func(context.Context, *webtransport.Session, query)) {
		mux.HandleFunc(path, func(answer http.ResponseWriter, request *http.Request) {
			peer.Event("session", peer.Fields{
				"path": request.URL.Path, "token": request.Proto,
				"protocols": request.Header.Get("WT-Available-Protocols"),
			})
			session, err := serving.Upgrade(answer, request)
			if err != nil {
				peer.Event("error", peer.Fields{"message": err.Error()})
				answer.WriteHeader(http.StatusBadRequest)
				return
			}
			use(request.Context(), session, query{request})
		})
	}
	resource("/echo", func(_ context.Context, session *webtransport.Session, _ query) {
		echo(context.Background(), session)
	})
	resource("/close", func(_ context.Context, session *webtransport.Session, query query) {
		code := webtransport.SessionErrorCode(query.number("code"))
		session.CloseWithError(code, query.text("reason"))
	})
	resource("/busy", func(_ context.Context, session *webtransport.Session, query query) {
		busy(context.Background(), session, query)
	})
	resource("/interrupt", func(_ context.Context, session *webtransport.Session, query query) {
		interrupt(context.Background(), session, query)
	})
	resource("/reset", func(_ context.Context, session *webtransport.Session, query query) {
		code := webtransport.StreamErrorCode(query.number("code"))
		for {
			stream, err := session.AcceptStream(context.Background())
			if err != nil {
				ended(err)
				return
			}
			stream.CancelWrite(code)
			stream.CancelRead(code)
		}
	})
	mux.HandleFunc("/reject", func(answer http.ResponseWriter, request *http.Request) {
		answer.WriteHeader(int(query{request}.number("status")))
	})
	return serving.Serve(socket)
}

type query struct{ request *http.Request }

func (q query) text(name string) string { return q.request.URL.Query().Get(name) }

func (q query) number(name string) uint32 {
	number, err := strconv.ParseUint(q.text(name), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(number)
}

func ended(err error) {
	var end *webtransport.SessionError
	if errors.As(err, &end) {
		peer.Event("session_closed", peer.Fields{
			"code": end.ErrorCode, "reason": end.Message, "remote": end.Remote,
		})
		return
	}
	peer.Event("session_closed", peer.Fields{"code": nil, "reason": err.Error()})
}

// busy closes a session that has streams of both sides open, and data on the way in each.
func busy(ctx context.Context, session *webtransport.Session, query query) {
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		ended(err)
		return
	}
	half, err := session.OpenUniStreamSync(ctx)
	if err != nil {
		ended(err)
		return
	}
	stream.Write(peer.Noise(5000))
	half.Write(peer.Noise(5000))
	session.SendDatagram([]byte("one more"))
	session.CloseWithError(webtransport.SessionErrorCode(query.number("code")), query.text("reason"))
}

// interrupt closes a session in the middle of what its first stream carries.
func interrupt(ctx context.Context, session *webtransport.Session, query query) {
	stream, err := session.AcceptStream(ctx)
	if err != nil {
		ended(err)
		return
	}
	piece := make([]byte, 1000)
	if _, err := io.ReadFull(stream, piece); err != nil {
		ended(err)
		return
	}
	stream.Write(piece)
	session.CloseWithError(webtransport.SessionErrorCode(query.number("code")), query.text("reason"))
}

// echo sends everything back until the session ends.
func echo(ctx context.Context, session *webtransport.Session) {
	go func() {
		for {
			half, err := session.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			go func() {
				back, err := session.OpenUniStreamSync(ctx)
				if err == nil {
					carry(half, back)
				}
			}()
		}
	}()
	go func() {
		for {
			payload, err := session.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			if err := session.SendDatagram(payload); err != nil {
				return
			}
		}
	}()
	for {
		stream, err := session.AcceptStream(ctx)
		if err != nil {
			ended(err)
			return
		}
		go carry(stream, stream)
	}
}

// carry copies to the end, and tells with which code it is cut short.
func carry(from io.Reader, to io.WriteCloser) {
	buffer := make([]byte, 16<<10)
	for {
		read, ends := from.Read(buffer)
		if read > 0 {
			if _, err := to.Write(buffer[:read]); err != nil {
				cut("stream_stopped", err)
				return
			}
		}
		if errors.Is(ends, io.EOF) {
			to.Close()
			return
		}
		if ends != nil {
			cut("stream_reset", ends)
			return
		}
	}
}

func cut(event string, err error) {
	var end *webtransport.StreamError
	if errors.As(err, &end) && end.Remote {
		peer.Event(event, peer.Fields{"code": end.ErrorCode})
	}
}
