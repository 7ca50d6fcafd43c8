package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"interop/peer"
)

const (
	datagramCapsule http3.CapsuleType = 0
	// Of its quarter stream id, frame type and tag, a packet of this size leaves more than 1,200 bytes.
	packetSize = 1400
	largest    = 65527
)

// proxy is one connection to a proxy.
type proxy struct {
	connection *quic.Conn
	requests   *http3.ClientConn
	arguments  *peer.Arguments
}

func connect(ctx context.Context, arguments *peer.Arguments) (*proxy, error) {
	trust, err := arguments.Trust()
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(arguments.URL))
	if err != nil {
		return nil, err
	}
	settings := &quic.Config{EnableDatagrams: true, InitialPacketSize: packetSize}
	connection, err := quic.DialAddr(ctx, to.Host, trust, settings)
	if err != nil {
		return nil, err
	}
	transport := &http3.Transport{EnableDatagrams: true, DisableCompression: true}
	requests := transport.NewClientConn(connection)
	select {
	case <-requests.ReceivedSettings():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if has := requests.Settings(); !has.EnableExtendedConnect || !has.EnableDatagrams {
		return nil, fmt.Errorf("extended CONNECT: %v, datagrams: %v", has.EnableExtendedConnect, has.EnableDatagrams)
	}
	return &proxy{connection, requests, arguments}, nil
}

// close waits a moment, since what has not been sent when a connection is closed is lost.
func (p *proxy) close() {
	time.Sleep(50 * time.Millisecond)
	p.connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}

// expand fills a template's two variables in; all but unreserved characters are percent-encoded.
func expand(template, target string) (string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", err
	}
	encoded := &strings.Builder{}
	for _, one := range []byte(host) {
		switch {
		case 'a' <= one && one <= 'z', 'A' <= one && one <= 'Z', '0' <= one && one <= '9',
			strings.IndexByte("-._~", one) >= 0:
			encoded.WriteByte(one)
		default:
			fmt.Fprintf(encoded, "%%%02X", one)
		}
	}
	return strings.NewReplacer("{target_host}", encoded.String(), "{target_port}", port).Replace(template), nil
}

// ask sends the head of a tunnel to `target`, or for `path=` whatever that is, and waits for the answer.
func (p *proxy) ask(ctx context.Context, protocol, target string) (*http3.RequestStream, *http.Response, error) {
	stream, err := p.send(ctx, protocol, target)
	if err != nil {
		return nil, nil, err
	}
	response, err := stream.ReadResponse()
	return stream, response, err
}

func (p *proxy) send(ctx context.Context, protocol, target string) (*http3.RequestStream, error) {
	uri, err := expand(p.arguments.URL, target)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodConnect, uri, nil)
	if err != nil {
		return nil, err
	}
	request.Proto = protocol
	if path := p.arguments.Text("path"); path != "" {
		request.URL.Opaque = path
	}
	request.Header.Set(http3.CapsuleProtocolHeader, "?1")
	if token := p.arguments.Text("bearer"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	stream, err := p.requests.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	return stream, stream.SendRequestHeader(request)
}

// open is a tunnel for UDP; any other answer than 200 is an error.
func (p *proxy) open(ctx context.Context, target string) (*tunnel, *http.Response, error) {
	stream, response, err := p.ask(ctx, "connect-udp", target)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, response, fmt.Errorf("status %d", response.StatusCode)
	}
	address, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return nil, nil, err
	}
	return newTunnel(stream, address), response, nil
}

// tunnel is one for UDP, as a socket that is connected to its target.
type tunnel struct {
	stream   *http3.RequestStream
	target   *net.UDPAddr
	capsules chan []byte // what came in DATAGRAM capsules, with context ids
	over     chan error  // why the proxy's side of the stream ended; nil is FIN
	mutex    sync.Mutex
	reading  context.Context
	stop     context.CancelFunc
}

func newTunnel(stream *http3.RequestStream, target *net.UDPAddr) *tunnel {
	t := &tunnel{
		stream: stream, target: target, capsules: make(chan []byte, 100), over: make(chan error, 1),
	}
	t.reading, t.stop = context.WithCancel(context.Background())
	go func() {
		err := readCapsules(stream, func(value []byte) { t.capsules <- value })
		t.over <- err
	}()
	return t
}

// readCapsules hands on what DATAGRAM capsules hold, until the stream ends.
func readCapsules(stream io.Reader, each func(value []byte)) error {
	capsules := http3.NewCapsuleParser(stream)
	for {
		kind, content, err := capsules.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if kind != datagramCapsule || content.Remaining() > largest+8 {
			if err := content.Discard(); err != nil {
				return err
			}
			continue
		}
		value, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		each(value)
	}
}

// capsule is the bytes of one.
func capsule(kind uint64, value []byte) []byte {
	whole := quicvarint.Append(nil, kind)
	whole = quicvarint.Append(whole, uint64(len(value)))
	return append(whole, value...)
}

// inContext puts a context id before a payload.
func inContext(id uint64, payload []byte) []byte {
	return append(quicvarint.Append(nil, id), payload...)
}

// WriteTo drops what is too large, as a path does.
func (t *tunnel) WriteTo(payload []byte, _ net.Addr) (int, error) {
	err := t.stream.SendDatagram(inContext(0, payload))
	var large *quic.DatagramTooLargeError
	if err != nil && !errors.As(err, &large) {
		return 0, err
	}
	return len(payload), nil
}

func (t *tunnel) ReadFrom(into []byte) (int, net.Addr, error) {
	t.mutex.Lock()
	reading := t.reading
	t.mutex.Unlock()
	payload, err := t.receive(reading)
	if reading.Err() != nil {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return copy(into, payload), t.target, err
}

// receive waits for a UDP payload.
func (t *tunnel) receive(ctx context.Context) ([]byte, error) {
	for {
		datagram, err := t.stream.ReceiveDatagram(ctx)
		if err != nil {
			return nil, err
		}
		id, size, err := quicvarint.Parse(datagram)
		if err != nil {
			return nil, err
		}
		if id == 0 {
			return datagram[size:], nil
		}
	}
}

// Close ends our side; the proxy ends the tunnel with it.
func (t *tunnel) Close() error {
	t.stop()
	return t.stream.Close()
}

func (t *tunnel) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4zero} }
func (t *tunnel) SetDeadline(at time.Time) error   { return t.SetReadDeadline(at) }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline knows only what quic-go asks of a socket: now, and never.
func (t *tunnel) SetReadDeadline(at time.Time) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if at.IsZero() {
		t.reading, t.stop = context.WithCancel(context.Background())
	} else {
		t.stop()
	}
	return nil
}

// echo sends a payload until it comes back; datagrams may be lost.
func (t *tunnel) echo(ctx context.Context, payload []byte) error {
	for range 20 {
		if err := t.stream.SendDatagram(inContext(0, payload)); err != nil {
			return err
		}
		if came, err := t.await(ctx, payload); came || err != nil {
			return err
		}
	}
	return fmt.Errorf("%d bytes did not come back", len(payload))
}

// await waits for these bytes for half a second; what else comes is older.
func (t *tunnel) await(ctx context.Context, payload []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	for {
		came, err := t.receive(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if peer.Same(came, payload) == nil {
			return true, nil
		}
	}
}

// ended waits until the proxy has ended its side, and tells how.
func (t *tunnel) ended(ctx context.Context) (peer.Fields, error) {
	select {
	case err := <-t.over:
		var failed *http3.Error
		switch {
		case err == nil:
			return peer.Fields{"ended": "fin"}, nil
		case errors.As(err, &failed):
			return peer.Fields{"ended": "reset", "code": uint64(failed.ErrorCode)}, nil
		default:
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
