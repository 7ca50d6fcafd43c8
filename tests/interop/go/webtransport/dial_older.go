//go:build older

package main

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/quic-go/webtransport-go"

	"interop/peer"
)

var serves peer.Server // the newest does

func dial(
	ctx context.Context, url string, trust *tls.Config, protocols []string,
) (*http.Response, *webtransport.Session, error) {
	dialer := webtransport.Dialer{TLSClientConfig: trust, ApplicationProtocols: protocols}
	return dialer.Dial(ctx, url, nil)
}
