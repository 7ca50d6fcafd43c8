package main

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/quic-go/masque-go"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/yosida95/uritemplate/v3"

	"interop/peer"
)

func proxy(socket net.PacketConn, identity tls.Certificate, arguments *peer.Arguments) error {
	path := arguments.Text("path")
	if path == "" {
		path = defaultPath
	}
	template, err := uritemplate.New("https://" + socket.LocalAddr().String() + path)
	if err != nil {
		return err
	}
	// The library logs the end of every tunnel.
	log.SetOutput(io.Discard)
	tunnels := &masque.Proxy{}
	serving := &http3.Server{
		TLSConfig:       http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{identity}}),
		EnableDatagrams: true,
		// Room for a QUIC packet inside.
		QUICConfig: &quic.Config{EnableDatagrams: true, InitialPacketSize: packet},
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			forward(tunnels, template, answer, request)
		}),
	}
	return serving.Serve(socket)
}

func forward(
	tunnels *masque.Proxy, template *uritemplate.Template,
	answer http.ResponseWriter, request *http.Request,
) {
	seen := peer.Fields{
		"method": request.Method, "protocol": request.Proto, "path": request.URL.Path,
		"capsule_protocol": request.Header.Get(http3.CapsuleProtocolHeader),
	}
	asked, err := masque.ParseProxyRequest(request, template)
	var refused *masque.ProxyRequestParseError
	if errors.As(err, &refused) {
		seen["error"] = refused.Error()
		peer.Event("refused", seen)
		answer.WriteHeader(refused.HTTPStatus)
		return
	}
	seen["target"] = asked.Target
	peer.Event("tunnel", seen)
	if !isHere(asked.Target) {
		answer.WriteHeader(http.StatusForbidden)
		return
	}
	over := peer.Fields{"target": asked.Target}
	if err := tunnels.Proxy(answer, asked); err != nil {
		over["error"] = err.Error()
	}
	peer.Event("over", over)
}

// isHere tells whether a target is on loopback, or a name that nobody has.
func isHere(target string) bool {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return false
	}
	if address := net.ParseIP(host); address != nil {
		return address.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".invalid")
}
