// Package peer is what the programs of this folder share: their command lines, what they print,
// certificates, and bytes to send.
//
// Each program is one of
//
//	PROGRAM client CASE URL [--ca FILE] [--protocols A,B] [NAME=VALUE...]
//	PROGRAM server --cert FILE --key FILE [--protocols A,B] [NAME=VALUE...]
//
// A client does one thing, prints what it saw as one JSON object and ends with status 0; what it did
// not expect goes to standard error with status 1. A server prints a ready line with its address,
// then a JSON object for each event, and ends when it is killed.
//
// The package depends on nothing, so that each program has its library's own choice of versions.
package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// No case takes longer; a client that hangs must not outlive its script.
const patience = 45 * time.Second

// Fields are what one line says.
type Fields map[string]any

var printing sync.Mutex

// Say prints one JSON object on a line of its own.
func Say(fields Fields) {
	printing.Lock()
	defer printing.Unlock()
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		panic(err)
	}
}

// Event prints an event of a server.
func Event(name string, fields Fields) {
	line := Fields{"event": name}
	for key, value := range fields {
		line[key] = value
	}
	Say(line)
}

// Client runs one case.
type Client func(ctx context.Context, name string, arguments *Arguments) error

// Server serves on the socket until it fails.
type Server func(socket net.PacketConn, identity tls.Certificate, arguments *Arguments) error

// Main runs the side that the command line asks for, and ends the process.
func Main(client Client, server Server) {
	if err := run(os.Args[1:], client, server); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string, client Client, server Server) error {
	if len(words) >= 3 && words[0] == "client" {
		arguments, err := parse(words[3:])
		if err != nil {
			return err
		}
		arguments.URL = words[2]
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// What does not heed the context ends all the same.
		time.AfterFunc(patience+time.Second, func() {
			fmt.Fprintln(os.Stderr, "not done in time")
			os.Exit(1)
		})
		return client(ctx, words[1], arguments)
	}
	if len(words) >= 1 && words[0] == "server" && server != nil {
		arguments, err := parse(words[1:])
		if err != nil {
			return err
		}
		return serve(server, arguments)
	}
	return errors.New("neither `client CASE URL` nor `server`")
}

func serve(server Server, arguments *Arguments) error {
	identity, err := tls.LoadX509KeyPair(arguments.cert, arguments.key)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	Say(Fields{"ready": true, "address": socket.LocalAddr().String()})
	return server(socket, identity, arguments)
}

// Arguments are what stands behind the case.
type Arguments struct {
	URL           string
	Protocols     []string
	ca, cert, key string
	values        map[string]string
}

func parse(words []string) (*Arguments, error) {
	arguments := &Arguments{values: map[string]string{}}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if !strings.HasPrefix(word, "--") {
			name, value, found := strings.Cut(word, "=")
			if !found {
				return nil, fmt.Errorf("not NAME=VALUE: %q", word)
			}
			arguments.values[name] = value
			continue
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("%s of what?", word)
		}
		value := words[0]
		words = words[1:]
		switch word {
		case "--ca":
			arguments.ca = value
		case "--cert":
			arguments.cert = value
		case "--key":
			arguments.key = value
		case "--protocols":
			arguments.Protocols = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("no such option: %s", word)
		}
	}
	return arguments, nil
}

// Text is the value of a name, or nothing.
func (a *Arguments) Text(name string) string { return a.values[name] }

// Number is the value of a name as a number; without one it is the other.
func (a *Arguments) Number(name string, other uint64) (uint64, error) {
	text, found := a.values[name]
	if !found {
		return other, nil
	}
	return strconv.ParseUint(text, 10, 62)
}

// Size is Number as a count.
func (a *Arguments) Size(name string, other int) (int, error) {
	number, err := a.Number(name, uint64(other))
	return int(number), err
}

// Trust is the configuration of a client that believes the certificates of --ca.
func (a *Arguments) Trust() (*tls.Config, error) { return trust(a.ca) }

// TrustOf is the same for the file that a name has as its value.
func (a *Arguments) TrustOf(name string) (*tls.Config, error) { return trust(a.values[name]) }

func trust(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return &tls.Config{RootCAs: pool, NextProtos: []string{"h3"}}, nil
}

// Noise is bytes that repeat nowhere near a frame or packet size, the same on every run.
func Noise(size int) []byte {
	state := uint32(12345)
	bytes := make([]byte, size)
	for at := range bytes {
		state = state*1103515245 + 12345
		bytes[at] = byte(state >> 24)
	}
	return bytes
}

// Pattern is what /bytes/SIZE answers with: byte i is (i*131 + (i>>8)) & 255.
func Pattern(size int) []byte {
	bytes := make([]byte, size)
	for at := range bytes {
		bytes[at] = byte(at*131 + at>>8)
	}
	return bytes
}

// Same is an error unless what came is what was wanted.
func Same(came, wanted []byte) error {
	if !bytes.Equal(came, wanted) {
		return fmt.Errorf("%d bytes wanted, %d other bytes came", len(wanted), len(came))
	}
	return nil
}

// All runs a function so many times at once; the first error is its own.
func All(count int, each func(number int) error) error {
	results := make(chan error, count)
	for number := range count {
		go func() { results <- each(number) }()
	}
	for range count {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}
