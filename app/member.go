package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/trust"
)

// member is this process as a member of a cluster whose service is elsewhere.
type member struct {
	base     string // of the service, https
	identity atomic.Pointer[trust.Identity]
	http     *http.Client
	rpc      *rpc.Client
}

// openMember returns this process as a member of the service's cluster, and joins it where it has not.
func openMember(ctx context.Context, e Remote, dir, id string) (*member, error) {
	u, err := url.Parse(e.Server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("server %q is no address: write the one that the service printed, such as http://192.0.2.1:8080: %w", e.Server, bijou.Invalid)
	}
	m := &member{base: "https://" + u.Host} // the same address speaks TLS to members
	identity, err := trust.OpenIdentity(filepath.Join(dir, "member.pem"))
	if err != nil {
		return nil, err
	}
	if !identity.Joined(time.Now()) {
		if identity, err = join(ctx, m.base, e.TokenFile, identity, id); err != nil {
			return nil, err
		}
	}
	m.identity.Store(identity)
	m.http = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: trust.ClientTLS(m.identity.Load, "service"), MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 15 * time.Second, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	m.rpc = rpc.NewClient(m.base, rpc.WithHTTP(m.http))
	return m, nil
}

// join asks the service for a certificate by means of the token.
func join(ctx context.Context, base, tokenFile string, identity *trust.Identity, id string) (*trust.Identity, error) {
	if tokenFile == "" {
		return nil, fmt.Errorf("this machine has not joined the service yet: type bijou token create there, and give its output here with --token-file FILE: %w", bijou.Denied)
	}
	raw, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("token file %s cannot be read (%v): %w", tokenFile, rootCause(err), bijou.Invalid)
	}
	authority, secret, err := trust.ParseJoin(string(raw))
	if err != nil {
		return nil, fmt.Errorf("token file %s: %w", tokenFile, err)
	}
	request, err := identity.Request()
	if err != nil {
		return nil, err
	}
	client := rpc.NewClient(base, rpc.WithHTTP(&http.Client{Transport: &http.Transport{TLSClientConfig: trust.JoinTLS(authority), TLSHandshakeTimeout: 5 * time.Second}}))
	defer client.Close()
	got, err := joinCall.Do(ctx, client, trust.JoinRequest{Secret: secret, Request: request, ID: id})
	if err != nil {
		return nil, err
	}
	return identity.Accept(got.Certificate, got.Authority)
}

// renewWait is how long after a failure a renewal is tried again, and how often it is looked whether one is due: a machine's clock may be set to
// years later meanwhile.
const renewWait = time.Hour

// keep renews the certificate in time, until ctx ends.
func (m *member) keep(ctx context.Context, log *slog.Logger) error {
	for {
		wait := time.Until(m.identity.Load().RenewAt())
		if wait <= 0 {
			if err := m.renew(ctx); err != nil && ctx.Err() == nil {
				log.Warn("certificate is not renewed, which is tried again", "error", err)
				wait = renewWait
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(max(wait, time.Second), renewWait)):
		}
	}
}

func (m *member) renew(ctx context.Context) error {
	identity := m.identity.Load()
	request, err := identity.Request()
	if err != nil {
		return err
	}
	got, err := renewCall.Do(ctx, m.rpc, Renewal{Request: request})
	if err != nil {
		return err
	}
	next, err := identity.Accept(got.Certificate, got.Authority)
	if err == nil {
		m.identity.Store(next)
	}
	return err
}
