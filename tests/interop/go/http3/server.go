package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/quic-go/quic-go/http3"

	"interop/peer"
)

// server has some of the resources of `aqueduct serve --demo`.
func server(socket net.PacketConn, identity tls.Certificate, _ *peer.Arguments) error {
	mux := http.NewServeMux()
	left := make(chan struct{})
	serving := &http3.Server{
		TLSConfig:       http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{identity}}),
		EnableDatagrams: true,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			peer.Event("request", peer.Fields{"method": request.Method, "path": request.URL.Path})
			mux.ServeHTTP(answer, request)
		}),
	}
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
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err := serving.Shutdown(ctx)
			peer.Event("left", peer.Fields{"error": fmt.Sprint(err)})
			close(left)
		}()
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
