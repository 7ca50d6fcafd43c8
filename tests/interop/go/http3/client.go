package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

func client(ctx context.Context, name string, arguments *peer.Arguments) error {
	trust, err := arguments.Trust()
	if err != nil {
		return err
	}
	transport := &http3.Transport{
		TLSClientConfig: trust,
		QUICConfig:      &quic.Config{EnableDatagrams: true},
		EnableDatagrams: true,
		// Bodies are compared as they come.
		DisableCompression: true,
	}
	defer transport.Close()
	size, err := arguments.Size("size", 0)
	if err != nil {
		return err
	}
	switch name {
	case "get":
		return get(ctx, transport, arguments.URL)
	case "bytes":
		return download(ctx, transport, arguments.URL, size)
	case "echo":
		return echo(ctx, transport, arguments.URL, size)
	case "sha256":
		return upload(ctx, transport, arguments.URL, size)
	case "trailers":
		return trailers(ctx, transport, arguments.URL)
	case "many":
		count, err := arguments.Size("count", 1)
		if err != nil {
			return err
		}
		return many(ctx, transport, arguments.URL, count, size)
	case "leave":
		return leave(ctx, transport, arguments.URL)
	case "slow":
		return slowly(ctx, transport, arguments.URL, size)
	case "field":
		return field(ctx, transport, arguments.URL, size)
	case "resume":
		return resume(ctx, trust, arguments.URL)
	case "early":
		return ahead(ctx, trust, arguments.URL, arguments.Text("next"))
	case "goaway":
		count, err := arguments.Size("count", 1)
		if err != nil {
			return err
		}
		return goaway(ctx, transport, arguments.URL, count, size)
	case "move":
		return move(ctx, trust, arguments.URL)
	case "sessions":
		count, err := arguments.Size("count", 1)
		if err != nil {
			return err
		}
		return sessions(ctx, trust, arguments.URL, count)
	default:
		return fmt.Errorf("no such case: %s", name)
	}
}

func ask(
	ctx context.Context, transport http.RoundTripper, method, url string, body io.Reader,
) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response, content, err
}

// get tells what a request is answered with, interim responses included.
func get(ctx context.Context, transport *http3.Transport, url string) error {
	interim := []int{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			interim = append(interim, code)
			return nil
		},
	})
	response, content, err := ask(ctx, transport, http.MethodGet, url, nil)
	seen := peer.Fields{"interim": interim}
	var failed *http3.Error
	switch {
	case errors.As(err, &failed):
		seen["error"], seen["remote"] = uint64(failed.ErrorCode), failed.Remote
	case err != nil:
		return err
	default:
		seen["status"], seen["size"] = response.StatusCode, len(content)
		seen["date"] = response.Header.Get("Date")
	}
	peer.Say(seen)
	return nil
}

func download(ctx context.Context, transport *http3.Transport, url string, size int) error {
	response, content, err := ask(ctx, transport, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if response.ContentLength != int64(size) {
		return fmt.Errorf("content-length is %d", response.ContentLength)
	}
	peer.Say(peer.Fields{"status": response.StatusCode, "size": len(content)})
	return peer.Same(content, peer.Pattern(size))
}

func echo(ctx context.Context, transport *http3.Transport, url string, size int) error {
	sent := peer.Noise(size)
	response, content, err := ask(ctx, transport, http.MethodPost, url, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"status": response.StatusCode, "size": len(content)})
	return peer.Same(content, sent)
}

func upload(ctx context.Context, transport *http3.Transport, url string, size int) error {
	sent := peer.Noise(size)
	_, content, err := ask(ctx, transport, http.MethodPost, url, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(sent)
	wanted := fmt.Sprintf("%s %d", hex.EncodeToString(sum[:]), size)
	if strings.TrimSpace(string(content)) != wanted {
		return fmt.Errorf("%q wanted, %q came", wanted, content)
	}
	peer.Say(peer.Fields{"size": size})
	return nil
}

// trailers sends content with a trailer, which is known when the content is over, and tells the
// trailers of the answer.
func trailers(ctx context.Context, transport *http3.Transport, url string) error {
	sent := peer.Noise(5000)
	// A reader of unknown length.
	body := struct{ io.Reader }{bytes.NewReader(sent)}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	request.Trailer = http.Header{"X-Sum": []string{"of all"}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"size": len(content), "trailer": response.Trailer.Get("X-Sum")})
	return peer.Same(content, sent)
}

// many sends all requests at once, over one connection.
func many(ctx context.Context, transport *http3.Transport, url string, count, size int) error {
	sent := peer.Noise(size)
	err := peer.All(count, func(int) error {
		_, content, err := ask(ctx, transport, http.MethodPost, url, bytes.NewReader(sent))
		if err != nil {
			return err
		}
		return peer.Same(content, sent)
	})
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"echoed": count})
	return nil
}

// leave gives up a download in the middle; the next one on the connection goes through.
func leave(ctx context.Context, transport *http3.Transport, url string) error {
	const size = 3_000_000
	part, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(part, http.MethodGet, fmt.Sprintf("%s/%d", url, size), nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		return err
	}
	cancel()
	response.Body.Close()
	return download(ctx, transport, fmt.Sprintf("%s/%d", url, 1000), 1000)
}

// slowly takes what comes in small pieces over a second or two.
func slowly(ctx context.Context, transport *http3.Transport, url string, size int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	peer.Event("begun", nil)
	pieces := max(1, size/100)
	content := make([]byte, 0, size)
	for {
		piece := make([]byte, pieces)
		read, err := io.ReadFull(response.Body, piece)
		content = append(content, piece[:read]...)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", len(content), err)
		}
		time.Sleep(15 * time.Millisecond)
	}
	return peer.Same(content, peer.Pattern(size))
}

// field sends a large field, and a small request after it on the same connection.
func field(ctx context.Context, transport *http3.Transport, url string, size int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Large", strings.Repeat("x", size))
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	after, _, err := ask(ctx, transport, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{
		"status": response.StatusCode, "arrived": strings.Contains(string(content), strings.Repeat("x", size)),
		"after": after.StatusCode,
	})
	return nil
}

// resume connects twice; the second time with a ticket of the first.
func resume(ctx context.Context, trust *tls.Config, url string) error {
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	resumed := []bool{}
	for range 2 {
		transport := &http3.Transport{TLSClientConfig: trust}
		response, _, err := ask(ctx, transport, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resumed = append(resumed, response.TLS.DidResume)
		if err := transport.Close(); err != nil {
			return err
		}
	}
	peer.Say(peer.Fields{"resumed": resumed})
	return nil
}
