//go:build !older

package main

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/quic-go/webtransport-go"

	"interop/peer"
)

var serves peer.Server = server

func dial(
	ctx context.Context, url string, trust *tls.Config, protocols []string,
) (*http.Response, *webtransport.Session, error) {
	transport := webtransport.Transport{TLSClientConfig: trust, ApplicationProtocols: protocols}
	return transport.Dial(ctx, url, nil)
}
