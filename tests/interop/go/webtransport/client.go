package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/webtransport-go"

	"interop/peer"
)

const lingering = 20 * time.Millisecond

func client(ctx context.Context, name string, arguments *peer.Arguments) error {
	trust, err := arguments.Trust()
	if err != nil {
		return err
	}
	size, err := arguments.Size("size", 0)
	if err != nil {
		return err
	}
	open := func() (*webtransport.Session, error) {
		_, session, err := dial(ctx, arguments.URL, trust, arguments.Protocols)
		return session, err
	}
	if name == "many" {
		count, err := arguments.Size("count", 1)
		if err != nil {
			return err
		}
		return many(ctx, open, count, size)
	}
	response, session, err := dial(ctx, arguments.URL, trust, arguments.Protocols)
	if name == "connect" && err != nil {
		seen := peer.Fields{"accepted": false, "why": err.Error(), "status": nil}
		if response != nil {
			seen["status"] = response.StatusCode
		}
		peer.Say(seen)
		return nil
	}
	if err != nil {
		return err
	}
	var seen peer.Fields
	switch name {
	case "connect":
		protocol := session.SessionState().ApplicationProtocol
		seen = peer.Fields{"accepted": true, "protocol": protocol}
	case "bidi":
		seen, err = peer.Fields{"echoed": size}, bidi(ctx, session, size)
	case "uni":
		seen, err = peer.Fields{"echoed": size}, uni(ctx, session, size)
	case "datagram":
		seen, err = peer.Fields{"echoed": size}, datagram(ctx, session, size)
	case "push":
		seen, err = push(ctx, session)
	case "closed":
		seen, err = closed(ctx, session)
	case "close":
		return leave(ctx, session, arguments)
	case "given-up":
		seen, err = givenUp(ctx, session)
	case "resets":
		seen, err = resets(ctx, session, arguments)
	case "give-up":
		seen, err = giveUp(ctx, session, arguments)
	default:
		err = fmt.Errorf("no such case: %s", name)
	}
	if err != nil {
		return err
	}
	peer.Say(seen)
	return session.CloseWithError(0, "")
}

func bidi(ctx context.Context, session *webtransport.Session, size int) error {
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	return exchange(stream, stream, size)
}

func uni(ctx context.Context, session *webtransport.Session, size int) error {
	send, err := session.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	return exchange(send, later{func() (io.Reader, error) { return session.AcceptUniStream(ctx) }}, size)
}

// later is a reader that is there when it is wanted.
type later struct {
	accept func() (io.Reader, error)
}

func (l later) WriteTo(to io.Writer) (int64, error) {
	from, err := l.accept()
	if err != nil {
		return 0, err
	}
	return io.Copy(to, from)
}

func (l later) Read([]byte) (int, error) { return 0, errors.New("taken by WriteTo") }

// exchange sends bytes to their end and compares what comes meanwhile.
func exchange(send io.WriteCloser, receive io.Reader, size int) error {
	sent := peer.Noise(size)
	written := make(chan error, 1)
	go func() {
		_, err := send.Write(sent)
		written <- errors.Join(err, send.Close())
	}()
	came := &collected{}
	if _, err := io.Copy(came, receive); err != nil {
		return err
	}
	if err := <-written; err != nil {
		return err
	}
	return peer.Same(came.bytes, sent)
}

type collected struct{ bytes []byte }

func (c *collected) Write(bytes []byte) (int, error) {
	c.bytes = append(c.bytes, bytes...)
	return len(bytes), nil
}

// datagram is sent up to five times: each may be lost.
func datagram(ctx context.Context, session *webtransport.Session, size int) error {
	sent := peer.Noise(size)
	for range 5 {
		if err := session.SendDatagram(sent); err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, time.Second)
		came, err := session.ReceiveDatagram(soon)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			return err
		}
		return peer.Same(came, sent)
	}
	return errors.New("five datagrams, no echo")
}

// push takes what a server opens by itself.
func push(ctx context.Context, session *webtransport.Session) (peer.Fields, error) {
	stream, err := session.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	bidi, err := io.ReadAll(stream)
	if err != nil {
		return nil, err
	}
	half, err := session.AcceptUniStream(ctx)
	if err != nil {
		return nil, err
	}
	uni, err := io.ReadAll(half)
	if err != nil {
		return nil, err
	}
	datagram, err := session.ReceiveDatagram(ctx)
	if err != nil {
		return nil, err
	}
	return peer.Fields{"bidi": len(bidi), "uni": len(uni), "datagram": len(datagram)}, nil
}

// closed waits for the server to end the session.
func closed(ctx context.Context, session *webtransport.Session) (peer.Fields, error) {
	_, err := session.AcceptStream(ctx)
	var end *webtransport.SessionError
	if !errors.As(err, &end) || !end.Remote {
		return nil, fmt.Errorf("not closed with a code: %v", err)
	}
	return peer.Fields{"code": end.ErrorCode, "reason": end.Message}, nil
}

func leave(ctx context.Context, session *webtransport.Session, arguments *peer.Arguments) error {
	code, err := arguments.Number("code", 0)
	if err != nil {
		return err
	}
	if err := bidi(ctx, session, 10); err != nil {
		return err
	}
	err = session.CloseWithError(webtransport.SessionErrorCode(code), arguments.Text("reason"))
	// The end of the process would be quicker than what it has to send.
	time.Sleep(lingering)
	return err
}

// givenUp waits for the server to reset one half of a stream and to stop the other.
func givenUp(ctx context.Context, session *webtransport.Session) (peer.Fields, error) {
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte("hello")); err != nil {
		return nil, err
	}
	var reset, stopped *webtransport.StreamError
	if _, err := io.ReadAll(stream); !errors.As(err, &reset) {
		return nil, fmt.Errorf("no reset: %v", err)
	}
	for err == nil {
		_, err = stream.Write([]byte("more"))
	}
	if !errors.As(err, &stopped) {
		return nil, fmt.Errorf("no stop: %v", err)
	}
	return peer.Fields{"reset": reset.ErrorCode, "stopped": stopped.ErrorCode}, nil
}

// giveUp resets and stops a stream that the server echoes; another one still works.
func giveUp(
	ctx context.Context, session *webtransport.Session, arguments *peer.Arguments,
) (peer.Fields, error) {
	reset, err := arguments.Number("reset", 0)
	if err != nil {
		return nil, err
	}
	stop, err := arguments.Number("stop", 0)
	if err != nil {
		return nil, err
	}
	stream, err := session.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte("hello")); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(stream, make([]byte, 5)); err != nil {
		return nil, err
	}
	stream.CancelRead(webtransport.StreamErrorCode(stop))
	stream.CancelWrite(webtransport.StreamErrorCode(reset))
	return peer.Fields{"echoed": 1000}, bidi(ctx, session, 1000)
}

// resets gives up streams right after their headers, and takes as many that the server gives up likewise.
func resets(
	ctx context.Context, session *webtransport.Session, arguments *peer.Arguments,
) (peer.Fields, error) {
	count, err := arguments.Size("count", 1)
	if err != nil {
		return nil, err
	}
	code, err := arguments.Number("code", 0)
	if err != nil {
		return nil, err
	}
	opened := make(chan error, 1)
	go func() {
		opened <- func() error {
			for range count {
				stream, err := session.OpenUniStreamSync(ctx)
				if err != nil {
					return err
				}
				stream.CancelWrite(webtransport.StreamErrorCode(code))
			}
			return nil
		}()
	}()
	codes := map[webtransport.StreamErrorCode]int{}
	for range count {
		stream, err := session.AcceptUniStream(ctx)
		if err != nil {
			return nil, err
		}
		var reset *webtransport.StreamError
		if _, err := io.ReadAll(stream); !errors.As(err, &reset) {
			return nil, fmt.Errorf("no reset: %v", err)
		}
		codes[reset.ErrorCode]++
	}
	return peer.Fields{"codes": codes}, <-opened
}

// many holds so many sessions at once, each with all kinds of echo.
func many(
	ctx context.Context, open func() (*webtransport.Session, error), count, size int,
) error {
	opened := make([]*webtransport.Session, count)
	err := peer.All(count, func(number int) (err error) {
		opened[number], err = open()
		return err
	})
	if err != nil {
		return err
	}
	err = peer.All(count, func(number int) error {
		session := opened[number]
		return errors.Join(
			bidi(ctx, session, size), uni(ctx, session, size), datagram(ctx, session, 100),
			session.CloseWithError(0, ""),
		)
	})
	if err != nil {
		return err
	}
	peer.Say(peer.Fields{"sessions": count})
	return nil
}
