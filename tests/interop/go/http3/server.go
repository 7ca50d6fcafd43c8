package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

type connectionKey struct{}

// early is whether early data was taken on the connection of a request.
func early(request *http.Request) bool {
	connection := request.Context().Value(connectionKey{}).(*quic.Conn)
	return connection.ConnectionState().Used0RTT
}

// server has some of the resources of `aqueduct serve --demo`. Servers with the same tickets=NAME know
// each other's tickets; datagrams=no is an offer of less.
func server(socket net.PacketConn, identity tls.Certificate, arguments *peer.Arguments) error {
	mux := http.NewServeMux()
	left := make(chan struct{})
	trust := &tls.Config{Certificates: []tls.Certificate{identity}}
	if name := arguments.Text("tickets"); name != "" {
		trust.SetSessionTicketKeys([][32]byte{sha256.Sum256([]byte(name))})
	}
	serving := &http3.Server{
		TLSConfig:       http3.ConfigureTLSConfig(trust),
		EnableDatagrams: arguments.Text("datagrams") != "no",
		ConnContext: func(ctx context.Context, connection *quic.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, connection)
		},
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			peer.Event("request", peer.Fields{"method": request.Method, "path": request.URL.Path})
			mux.ServeHTTP(answer, request)
		}),
	}
	shutdown := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := serving.Shutdown(ctx)
		peer.Event("left", peer.Fields{"error": fmt.Sprint(err)})
		close(left)
	}
	mux.HandleFunc("GET /early-data", func(answer http.ResponseWriter, request *http.Request) {
		word := map[bool]string{true: "accepted", false: "none"}[early(request)]
		io.WriteString(answer, word+"\n")
	})
	// It is held up for a while.
	mux.HandleFunc("GET /hold/{time}/{name}", func(answer http.ResponseWriter, request *http.Request) {
		length, err := time.ParseDuration(request.PathValue("time"))
		if err != nil {
			http.Error(answer, "how long?", http.StatusBadRequest)
			return
		}
		time.Sleep(length)
		io.WriteString(answer, request.PathValue("name"))
	})
	mux.HandleFunc("GET /goaway", func(answer http.ResponseWriter, _ *http.Request) {
		go shutdown()
		io.WriteString(answer, "going away\n")
	})
	mux.HandleFunc("GET /bytes/{size}", func(answer http.ResponseWriter, request *http.Request) {
		size, err := strconv.Atoi(request.PathValue("size"))
		if err != nil {
			http.Error(answer, "which size?", http.StatusBadRequest)
			return
		}
		answer.Header().Set("Content-Length", strconv.Itoa(size))
		answer.Write(peer.Pattern(size))
	})
	mux.HandleFunc("POST /echo", func(answer http.ResponseWriter, request *http.Request) {
		// The answer begins before the request is over.
		io.Copy(answer, request.Body)
		for name, values := range request.Trailer {
			answer.Header()[http.TrailerPrefix+name] = values
		}
	})
	mux.HandleFunc("GET /trailers", func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Trailer", "X-Trailer-A, X-Trailer-B")
		io.WriteString(answer, "with trailers\n")
		answer.Header().Set("X-Trailer-A", "1")
		answer.Header().Set("X-Trailer-B", "2")
	})
	mux.HandleFunc("GET /early", func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Link", "</style.css>; rel=preload")
		answer.WriteHeader(http.StatusEarlyHints)
		answer.WriteHeader(http.StatusOK)
		io.WriteString(answer, "early\n")
	})
	mux.HandleFunc("GET /status/{code}", func(answer http.ResponseWriter, request *http.Request) {
		code, err := strconv.Atoi(request.PathValue("code"))
		if err != nil {
			code = http.StatusBadRequest
		}
		answer.WriteHeader(code)
	})
	mux.HandleFunc("GET /abort", func(answer http.ResponseWriter, _ *http.Request) {
		io.WriteString(answer, "a part")
		answer.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	// It leaves while it answers: GOAWAY, and the answer whole.
	mux.HandleFunc("GET /leave/{size}", func(answer http.ResponseWriter, request *http.Request) {
		size, err := strconv.Atoi(request.PathValue("size"))
		if err != nil {
			http.Error(answer, "which size?", http.StatusBadRequest)
			return
		}
		go shutdown()
		time.Sleep(50 * time.Millisecond)
		answer.Write(peer.Pattern(size))
	})
	err := serving.Serve(socket)
	if errors.Is(err, http.ErrServerClosed) {
		<-left
		return nil
	}
	return err
}
