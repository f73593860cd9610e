package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/trust"
)

// Renewal is what a member sends whose certificate ends soon.
type Renewal struct {
	Request string `json:"request" maxLength:"10000" doc:"Certificate request (PEM)."`
}

// NewToken asks for a join token.
type NewToken struct {
	Role  string `json:"role" audit:"true" enum:"appliance" doc:"What the machine that joins will be."`
	ForMS int64  `json:"for_ms" audit:"true" minimum:"1000" maximum:"2592000000" doc:"How long the token can be used, in milliseconds."`
}

// JoinToken is text that lets one machine join.
type JoinToken struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

const (
	joinPath   = "/role/cluster/joins"
	originPath = "/role/origin/"
)

var (
	joinCall    = rpc.Call[trust.JoinRequest, trust.JoinAnswer]{Verb: "POST", Path: joinPath, Summary: "Join the cluster", Needs: rpc.Internal, Idempotent: true}
	renewCall   = rpc.Call[Renewal, trust.JoinAnswer]{Verb: "POST", Path: "/role/cluster/renewals", Summary: "Renew a member's certificate", Needs: rpc.Internal, Idempotent: true}
	createToken = rpc.Call[NewToken, JoinToken]{Verb: "POST", Path: "/api/v1/tokens", Summary: "Make a token by which a machine joins", Needs: rpc.Administrator, Status: http.StatusCreated}
)

// cluster admits machines and knows its members.
type cluster struct {
	authority *trust.Authority
	tokens    *trust.Tokens
	dir       string // of keys
	now       func() time.Time

	mu       sync.Mutex
	identity *trust.Identity // this process's own
}

// openCluster reads the authority in the folder of keys, and makes it on first use.
func openCluster(dir string, now func() time.Time) (*cluster, error) {
	a, err := trust.OpenAuthority(dir+"/authority.pem", now())
	if err != nil {
		return nil, err
	}
	c := &cluster{authority: a, tokens: trust.NewTokens(dir + "/tokens.json"), dir: dir, now: now}
	c.identity, err = a.Member(dir, "service/up", now())
	return c, err
}

// self returns the identity of this process, renewed in time.
func (c *cluster) self() *trust.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.After(c.identity.RenewAt()) || c.identity.Early(now) {
		if next, err := c.authority.Member(c.dir, "service/up", now); err == nil {
			c.identity = next // else tried again with the next connection
		}
	}
	return c.identity
}

// join admits a machine that has a token.
func (c *cluster) join(_ context.Context, in trust.JoinRequest) (trust.JoinAnswer, error) {
	if err := bijou.CheckID(bijou.ApplianceID(in.ID), bijou.AppliancePrefix); err != nil {
		return trust.JoinAnswer{}, err
	}
	return c.authority.Admit(c.tokens, in, c.now())
}

// renew gives a member a new certificate under the name that it has.
func (c *cluster) renew(ctx context.Context, in Renewal) (trust.JoinAnswer, error) {
	name, _ := trust.PeerOf(ctx)
	return c.authority.Renew(name, in.Request, c.now())
}

func (c *cluster) create(_ context.Context, in NewToken) (JoinToken, error) {
	term := time.Duration(in.ForMS) * time.Millisecond
	text, err := c.tokens.Create(c.authority, in.Role, c.now(), term)
	return JoinToken{text, c.now().Add(term).UTC()}, err
}

// mayReport refuses, as Denied, an appliance that reports for another. Those of this process are trusted.
func mayReport(ctx context.Context, id bijou.ApplianceID) error {
	if peer, remote := trust.PeerOf(ctx); remote && peer != "appliance/"+string(id) {
		return fmt.Errorf("%q reports as appliance %s, which it is not: %w", peer, id, bijou.Denied)
	}
	return nil
}

// roleDoor answers other members of the cluster, over mutual TLS. Who has no certificate yet may join, and nothing else.
func (p *process) roleDoor(r rooms) http.Handler {
	routes := []rpc.Route{joinCall.Serve(p.cluster.join), renewCall.Serve(p.cluster.renew)}
	for _, route := range r.steering.Routes() {
		if strings.HasSuffix(route.Path(), "/reports") {
			routes = append(routes, route)
		}
	}
	api := rpc.Handler(rpc.Deps{Log: p.log, Metrics: p.metrics}, routes...)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		peer := trust.Peer(req.TLS)
		if peer == "" && req.URL.Path != joinPath {
			rpc.WriteProblem(w, req, fmt.Errorf("this is for members of the cluster: join first: %w", bijou.Denied))
			return
		}
		req.Header.Del(rpc.CallerHeader)
		req = req.WithContext(trust.WithPeer(req.Context(), peer))
		if name, ok := strings.CutPrefix(req.URL.Path, originPath); ok {
			p.origin(w, req, name)
			return
		}
		api.ServeHTTP(w, req)
	})
}

// origin serves the files of assets to appliances.
func (p *process) origin(w http.ResponseWriter, r *http.Request, name string) {
	key := bijou.AssetsPrefix + name
	if err := bijou.CheckKey(key); err != nil {
		rpc.WriteProblem(w, r, fmt.Errorf("no file has this address: %w", bijou.NotFound))
		return
	}
	body, blob, err := p.stores.blobs.Get(r.Context(), key, 0, -1)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	defer body.Close()
	seek, ok := body.(io.ReadSeeker)
	if !ok { // it lies elsewhere
		far := &sought{ctx: r.Context(), blobs: p.stores.blobs, blob: blob, body: body}
		defer far.Close()
		seek = far
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+name+`"`)
	http.ServeContent(w, r, "", blob.Modified, seek)
}
