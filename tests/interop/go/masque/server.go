package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"interop/peer"
)

const prefix = "/.well-known/masque/"

// server is a proxy for UDP and TCP. With `bearer=TOKEN` it wants that. With `sparse=yes` it does for UDP
// as little as other proxies do: no Capsule-Protocol on its answer, no payloads out of capsules, and a
// packet of the target's that fits into no datagram ends its tunnel, where it otherwise is dropped.
func server(socket net.PacketConn, identity tls.Certificate, arguments *peer.Arguments) error {
	serving := &http3.Server{
		TLSConfig:       http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{identity}}),
		QUICConfig:      &quic.Config{EnableDatagrams: true},
		EnableDatagrams: true,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			if err := handle(answer, request, arguments); err != nil {
				peer.Event("failed", peer.Fields{"error": err.Error()})
			}
		}),
	}
	return serving.Serve(socket)
}

func handle(answer http.ResponseWriter, request *http.Request, arguments *peer.Arguments) error {
	if request.Method == http.MethodGet && request.URL.Path == "/" {
		_, err := io.WriteString(answer, "a proxy\n")
		return err
	}
	kind, rest, found := strings.Cut(strings.TrimPrefix(request.URL.EscapedPath(), prefix), "/")
	switch {
	case !found || !strings.HasPrefix(request.URL.EscapedPath(), prefix) || kind != "udp" && kind != "tcp":
		return refuse(answer, http.StatusNotFound, "")
	case request.Method != http.MethodConnect:
		return refuse(answer, http.StatusMethodNotAllowed, "")
	case request.Proto != "connect-"+kind && (kind != "tcp" || contents[request.Proto].data == 0):
		return refuse(answer, http.StatusNotImplemented, "")
	}
	if token := arguments.Text("bearer"); token != "" && request.Header.Get("Authorization") != "Bearer "+token {
		answer.Header().Set("WWW-Authenticate", "Bearer")
		return refuse(answer, http.StatusUnauthorized, "")
	}
	target, err := parseTarget(rest)
	if err != nil {
		return refuse(answer, http.StatusBadRequest, "http_request_error")
	}
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(request.Context(), 5*time.Second)
	defer cancel()
	outside, err := dialer.DialContext(ctx, kind, target)
	if err != nil {
		return refuse(answer, http.StatusBadGateway, "destination_unavailable")
	}
	defer outside.Close()
	sparse := kind == "udp" && arguments.Text("sparse") == "yes"
	if !sparse {
		answer.Header().Set(http3.CapsuleProtocolHeader, "?1")
	}
	answer.Header().Set("Proxy-Status", fmt.Sprintf("peer; next-hop=%q", outside.RemoteAddr()))
	answer.WriteHeader(http.StatusOK)
	stream, err := answer.(http3.HTTPStreamer).HTTPStream()
	if err != nil {
		return err
	}
	peer.Event("opened", peer.Fields{"target": target, "protocol": request.Proto})
	if kind == "udp" {
		err = carryPackets(stream, outside, sparse)
	} else {
		err = carryBytes(stream, outside.(*net.TCPConn), request.Proto)
	}
	peer.Event("closed", peer.Fields{"target": target, "error": fmt.Sprint(err)})
	return nil
}

func refuse(answer http.ResponseWriter, status int, why string) error {
	if why != "" {
		answer.Header().Set("Proxy-Status", "peer; error="+why)
	}
	answer.WriteHeader(status)
	return nil
}

// parseTarget reads HOST/PORT/ of a path, each percent-decoded once.
func parseTarget(rest string) (string, error) {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || parts[2] != "" {
		return "", errors.New("not HOST/PORT/")
	}
	host, err := url.PathUnescape(parts[0])
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return "", err
	}
	if host == "" || port == 0 || strings.ContainsAny(host, "[]%/\x00") {
		return "", errors.New("neither a name nor an address")
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// carryPackets carries them both ways until either side ends.
func carryPackets(stream *http3.Stream, outside net.Conn, sparse bool) error {
	results := make(chan error, 3)
	send := func(datagram []byte) error {
		id, size, err := quicvarint.Parse(datagram)
		if err != nil || id != 0 {
			return nil // it may be meant for somebody
		}
		_, err = outside.Write(datagram[size:])
		return err
	}
	go func() { // what comes in DATAGRAM frames
		for {
			datagram, err := stream.ReceiveDatagram(context.Background())
			if err == nil {
				err = send(datagram)
			}
			if err != nil {
				results <- fmt.Errorf("datagrams: %w", err)
				return
			}
		}
	}()
	go func() { // and in capsules; its end is the tunnel's
		var failed error
		err := readCapsules(stream, func(value []byte) {
			if !sparse {
				failed = cmp.Or(failed, send(value))
			}
		})
		if errors.Is(err, io.ErrUnexpectedEOF) {
			stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeMessageError))
		}
		results <- errors.Join(err, failed)
	}()
	go func() {
		packet := make([]byte, 65536)
		for {
			size, err := outside.Read(packet)
			if err == nil {
				err = stream.SendDatagram(inContext(0, packet[:size]))
				var large *quic.DatagramTooLargeError
				if errors.As(err, &large) && !sparse {
					err = nil
				}
			}
			if err != nil {
				results <- fmt.Errorf("packets: %w", err)
				return
			}
		}
	}()
	err := <-results
	stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
	stream.Close()
	return err
}

// carryBytes carries them both ways until both sides have ended.
func carryBytes(stream *http3.Stream, outside *net.TCPConn, protocol string) error {
	kinds := contents[protocol]
	var both sync.WaitGroup
	var up, down error
	both.Go(func() {
		up = func() error {
			capsules := http3.NewCapsuleParser(stream)
			for {
				kind, content, err := capsules.Next()
				if err != nil {
					outside.SetLinger(0)
					outside.Close()
					return err
				}
				switch uint64(kind) {
				case kinds.data, kinds.final:
					_, err = io.Copy(outside, content)
				default:
					err = content.Discard()
				}
				if err != nil {
					return err
				}
				if uint64(kind) == kinds.final {
					return outside.CloseWrite()
				}
			}
		}()
	})
	both.Go(func() {
		down = func() error {
			piece := make([]byte, 16384)
			for {
				size, err := outside.Read(piece)
				if size > 0 {
					if _, err := stream.Write(capsule(kinds.data, piece[:size])); err != nil {
						return err
					}
				}
				if err == io.EOF {
					_, err := stream.Write(capsule(kinds.final, nil))
					return err
				}
				if err != nil {
					stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeConnectError))
					return err
				}
			}
		}()
	})
	both.Wait()
	stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
	stream.Close()
	return errors.Join(up, down)
}
