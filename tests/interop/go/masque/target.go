package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/yosida95/uritemplate/v3"
)

// authority is where the proxy of a template is.
func authority(template *uritemplate.Template, target string) (string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", err
	}
	expanded, err := template.Expand(uritemplate.Values{
		"target_host": uritemplate.String(host), "target_port": uritemplate.String(port),
	})
	if err != nil {
		return "", err
	}
	proxy, err := url.Parse(expanded)
	if err != nil {
		return "", err
	}
	return proxy.Host, nil
}

func download(ctx context.Context, requests http.RoundTripper, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := requests.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
