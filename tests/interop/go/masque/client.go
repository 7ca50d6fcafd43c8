package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

func client(ctx context.Context, name string, arguments *peer.Arguments) error {
	proxy, err := connect(ctx, arguments)
	if err != nil {
		return err
	}
	defer proxy.close()
	target := arguments.Text("target")
	count, err := arguments.Size("count", 1)
	if err != nil {
		return err
	}
	switch name {
	case "echo":
		return echo(ctx, proxy, target, count, arguments.Text("sizes"))
	case "refused":
		return refused(ctx, proxy, target)
	case "many":
		return many(ctx, proxy, target, count)
	case "close":
		return closed(ctx, proxy, target)
	case "dead":
		return dead(ctx, proxy, target)
	case "unknown":
		return unknown(ctx, proxy, target)
	case "capsules":
		return capsules(ctx, proxy, target, count)
	case "early":
		return early(ctx, proxy, target, count)
	case "large":
		return large(ctx, proxy, target)
	case "through":
		return through(ctx, proxy, target, arguments)
	case "tcp":
		return tcp(ctx, proxy, target, arguments)
	default:
		return fmt.Errorf("no such case: %s", name)
	}
}

// echo sends `count` datagrams of each size through one tunnel and back.
func echo(ctx context.Context, proxy *proxy, target string, count int, sizes string) error {
	tunnel, response, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	echoed := 0
	for _, word := range strings.Split(sizes, ",") {
		size, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		for range count {
			if err := tunnel.echo(ctx, peer.Noise(size)); err != nil {
				return err
			}
			echoed++
		}
	}
	peer.Say(peer.Fields{
		"status": response.StatusCode, "echoed": echoed,
		"capsules": response.Header.Get(http3.CapsuleProtocolHeader),
		"proxy":    response.Header.Get("Proxy-Status"),
	})
	return nil
}

// refused tells the answer to a tunnel that is not opened, and that the connection goes on.
func refused(ctx context.Context, proxy *proxy, target string) error {
	protocol := proxy.arguments.Text("protocol")
	if protocol == "" {
		protocol = "connect-udp"
	}
	stream, response, err := proxy.ask(ctx, protocol, target)
	seen := peer.Fields{}
	var failed *http3.Error
	switch {
	case errors.As(err, &failed):
		seen["error"] = uint64(failed.ErrorCode)
	case err != nil:
		return err
	default:
		seen["status"], seen["proxy"] = response.StatusCode, response.Header.Get("Proxy-Status")
		seen["capsules"] = response.Header.Get(http3.CapsuleProtocolHeader)
		seen["challenge"] = response.Header.Get("WWW-Authenticate")
		stream.Close()
	}
	peer.Say(seen)
	return context.Cause(proxy.connection.Context())
}

// many has so many tunnels at once, on one connection; each gets what it sent.
func many(ctx context.Context, proxy *proxy, target string, count int) error {
	err := peer.All(count, func(number int) error {
		tunnel, _, err := proxy.open(ctx, target)
		if err != nil {
			return err
		}
		defer tunnel.Close()
		for round := range 5 {
			if err := tunnel.echo(ctx, fmt.Appendf(nil, "tunnel %d, round %d", number, round)); err != nil {
				return fmt.Errorf("tunnel %d: %w", number, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"tunnels": count})
	return nil
}

// closed ends a tunnel and tells how the proxy ends it; the script looks for the proxy's socket.
func closed(ctx context.Context, proxy *proxy, target string) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	if err := tunnel.echo(ctx, []byte("here")); err != nil {
		return err
	}
	// Not Close, which stops reading: the other side is awaited.
	if err := tunnel.stream.Close(); err != nil {
		return err
	}
	seen, err := tunnel.ended(ctx)
	if err != nil {
		return err
	}
	peer.Say(seen)
	return nil
}

// dead sends to a target where nobody listens, which a socket learns of, and tells how the tunnel ends.
func dead(ctx context.Context, proxy *proxy, target string) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	go func() {
		for range 20 {
			tunnel.stream.SendDatagram(inContext(0, []byte("is anybody there?")))
			time.Sleep(100 * time.Millisecond)
		}
	}()
	seen, err := tunnel.ended(ctx)
	if err != nil {
		return err
	}
	peer.Say(seen)
	return nil
}

// unknown sends contexts and capsules that nobody has registered, and echoes all the same.
func unknown(ctx context.Context, proxy *proxy, target string) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	for _, id := range []uint64{2, 3, 1 << 40} {
		if err := tunnel.stream.SendDatagram(inContext(id, []byte("not for you"))); err != nil {
			return err
		}
	}
	for _, kind := range []uint64{0x1717, 1<<62 - 1} {
		if _, err := tunnel.stream.Write(capsule(kind, peer.Noise(3000))); err != nil {
			return err
		}
	}
	for _, size := range []int{1, 500} {
		if err := tunnel.echo(ctx, peer.Noise(size)); err != nil {
			return err
		}
	}
	peer.Say(peer.Fields{"echoed": 2})
	return nil
}

// capsules sends payloads in DATAGRAM capsules, which are not lost, and counts what comes back in any form.
func capsules(ctx context.Context, proxy *proxy, target string, count int) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	seen := peer.Fields{"capsules": 0, "datagrams": 0}
	for number := range count {
		payload := fmt.Appendf(nil, "capsule %d", number)
		if _, err := tunnel.stream.Write(capsule(0, inContext(0, payload))); err != nil {
			return err
		}
		came := make(chan string, 1)
		waiting, cancel := context.WithTimeout(ctx, 5*time.Second)
		go func() {
			if found, _ := tunnel.await(waiting, payload); found {
				came <- "datagrams"
			}
		}()
		select {
		case value := <-tunnel.capsules:
			if err := peer.Same(value, inContext(0, payload)); err != nil {
				cancel()
				return err
			}
			came <- "capsules"
		case form := <-came:
			came <- form
		case <-waiting.Done():
		}
		cancel()
		select {
		case form := <-came:
			seen[form] = seen[form].(int) + 1
		default:
		}
	}
	peer.Say(seen)
	return nil
}

// early sends datagrams right behind the request; they may be lost, the later ones are not.
func early(ctx context.Context, proxy *proxy, target string, count int) error {
	stream, err := proxy.send(ctx, "connect-udp", target)
	if err != nil {
		return err
	}
	for number := range count {
		if err := stream.SendDatagram(inContext(0, fmt.Appendf(nil, "early %d", number))); err != nil {
			return err
		}
	}
	response, err := stream.ReadResponse()
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	tunnel := newTunnel(stream, nil)
	came := 0
	for number := range count {
		found, err := tunnel.await(ctx, fmt.Appendf(nil, "early %d", number))
		if err != nil {
			return err
		}
		if !found {
			break
		}
		came++
	}
	if err := tunnel.echo(ctx, []byte("late")); err != nil {
		return err
	}
	peer.Say(peer.Fields{"came": came})
	return nil
}

// large tells the largest payload that goes through and back, and that larger ones do not end the tunnel.
func large(ctx context.Context, proxy *proxy, target string) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	size := 1200
	for step := 1; ; step++ {
		var limit *quic.DatagramTooLargeError
		err := tunnel.stream.SendDatagram(inContext(0, peer.Noise(size+step)))
		if errors.As(err, &limit) {
			break
		}
		if err != nil {
			return err
		}
		came, err := tunnel.await(ctx, peer.Noise(size+step))
		if err != nil {
			return err
		}
		if !came {
			break
		}
		size, step = size+step, 0
	}
	if err := tunnel.echo(ctx, peer.Noise(1200)); err != nil {
		return err
	}
	peer.Say(peer.Fields{"largest": size})
	return nil
}

// through is HTTP/3 with a server behind the proxy; its packets are what the tunnel carries.
func through(ctx context.Context, proxy *proxy, target string, arguments *peer.Arguments) error {
	tunnel, _, err := proxy.open(ctx, target)
	if err != nil {
		return err
	}
	trust, err := arguments.TrustOf("target-ca")
	if err != nil {
		return err
	}
	inner := &quic.Transport{Conn: tunnel}
	transport := &http3.Transport{
		TLSClientConfig:    trust,
		QUICConfig:         &quic.Config{InitialPacketSize: 1200, DisablePathMTUDiscovery: true},
		DisableCompression: true,
		Dial: func(ctx context.Context, _ string, trust *tls.Config, settings *quic.Config) (*quic.Conn, error) {
			return inner.Dial(ctx, tunnel.target, trust, settings)
		},
	}
	defer transport.Close()
	uri := "https://" + target + arguments.Text("resource")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"status": response.StatusCode, "size": len(content)})
	return peer.Same(content, peer.Pattern(len(content)))
}
