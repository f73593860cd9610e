// Package appliance is the box that keeps files and serves segments to whoever holds a grant. It needs the public key and its files,
// and no other part of the service: what it misses it fetches, how it is it reports, and when nobody answers it serves on.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/service/appliance/shelf"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Config is the room's section of the configuration.
type Config struct {
	Listen      string        `yaml:"listen" doc:"Address of viewers, host:port. Port 0 is any free one, which is kept over restarts. Where nothing is said: such a port at the host of the service's own address. The second appliance of bijou up takes the next port, and so on."`
	Address     string        `yaml:"address" doc:"Where viewers reach it, such as https://box1.example.org; made of listen where nothing is said. A host of * stands for the one by which the viewer reached the service."`
	Name        string        `yaml:"name" doc:"What people call it; its identifier where nothing is said."`
	Zone        string        `yaml:"zone" doc:"The part of the network that it stands in."`
	Networks    []string      `yaml:"networks" doc:"Networks whose viewers it is meant for, such as 192.0.2.0/24."`
	Cap         conf.Size     `yaml:"cap" doc:"How much it may hold; what is asked for least goes first."`
	CapacityBPS int64         `yaml:"capacity_bps" doc:"What it can send, in bits a second; nobody is sent to it above nine tenths of that. 0 where nobody knows."`
	ScrubEvery  time.Duration `yaml:"scrub_every" doc:"Within which time the hash of every file is checked again."`
	TLSCert     string        `yaml:"tls_cert" doc:"Certificate for HTTPS (PEM, with its chain). Files that change are read again."`
	TLSKey      string        `yaml:"tls_key" doc:"The certificate's key (PEM)."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config {
	return Config{Cap: 10 << 30, ScrubEvery: 24 * time.Hour}
}

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	var wrong conf.Errors
	_, _, err := net.SplitHostPort(c.Listen)
	wrong.Add(err == nil || c.Listen == "", "listen is %q: write host:port, such as 127.0.0.1:8081", c.Listen)
	err = (bijou.Appliance{ID: bijou.AppliancePrefix + "x", Address: c.Address}).Check()
	wrong.Add(err == nil || c.Address == "", "address is %q: write one such as https://box1.example.org", c.Address)
	for _, n := range c.Networks {
		_, err := netip.ParsePrefix(n)
		wrong.Add(err == nil, "networks holds %q: write prefixes such as 192.0.2.0/24", n)
	}
	wrong.Add(c.Cap >= 64<<20, "cap is %s: it must be at least 64MiB", c.Cap)
	wrong.Add(c.CapacityBPS >= 0, "capacity_bps is %d: it must not be negative", c.CapacityBPS)
	wrong.Add(c.ScrubEvery >= time.Minute, "scrub_every is %s: it must be at least 1m", c.ScrubEvery)
	wrong.Add((c.TLSCert == "") == (c.TLSKey == ""), "tls_cert is %q and tls_key is %q: give both or neither", c.TLSCert, c.TLSKey)
	return wrong.Err()
}

// Deps are what the room works with.
type Deps struct {
	Dir     string        // its own
	Source  Origin        // where files come from
	Control bijou.Control // whom it reports to; nil where it works for itself
	Keys    [][]byte      // Ed25519 public keys that it begins with, until Control says others
	KeyFile string        // PEM public keys, read again when the file changes; empty where Control or Keys tells them
	Config  Config
	Version string
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Patience is with those who send or take slowly; DefaultPatience where nothing is said.
	Patience Patience
}

// Origin is where an appliance fetches what it misses.
type Origin struct {
	shelf.Source
	// Assets tells that the files belong to assets, whose own description says which there are and what their hashes are.
	Assets bool
}

// Service is the box.
type Service struct {
	Deps
	gate        *gate
	certificate *certificate
	open        atomic.Pointer[shelf.Shelf] // nil until Run has opened it
	peers       *peers
	learning    sync.Mutex // one asset's description is read at a time
	assets      sync.Map   // of *known by bijou.AssetID
	toFetch     chan ahead

	mu       sync.Mutex
	identity identity
	state    bijou.ApplianceState
	known    int64 // version of the holdings that the service knows
	orders   bijou.ApplianceOrders

	connections, requests, sent atomic.Int64
	metrics                     metrics
}

// New assembles the room.
func New(d Deps) *Service {
	s := &Service{Deps: d, gate: newGate(), state: bijou.ApplianceServing, known: -1, peers: &peers{now: d.Now}, toFetch: make(chan ahead, maxAhead)}
	if s.Patience == (Patience{}) {
		s.Patience = DefaultPatience
	}
	s.gate.set(d.Keys, nil, nil)
	if d.Config.TLSCert != "" {
		s.certificate = &certificate{certFile: d.Config.TLSCert, keyFile: d.Config.TLSKey, now: d.Now, log: d.Log}
	}
	s.metrics = newMetrics(d.Metrics, s)
	return s
}

// ID returns the appliance's identifier; it is known once Run is ready.
func (s *Service) ID() bijou.ApplianceID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity.ID
}

// Run opens the appliance's directory, listens for viewers, and reports, until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if s.certificate != nil {
		if err := s.certificate.load(); err != nil {
			return err
		}
	}
	sh, err := shelf.Open(shelf.Options{
		Dir: s.Dir, Cap: int64(s.Config.Cap), Scrub: s.Config.ScrubEvery, Now: s.Now, Log: s.Log,
	}, &sources{s})
	if err != nil {
		return err
	}
	defer func() {
		if err := sh.Close(); err != nil {
			s.Log.Warn("appliance did not close well", "error", err)
		}
	}()
	l, err := s.begin()
	if err != nil {
		return err
	}
	s.open.Store(sh)
	defer s.open.Store(nil)
	s.remember(ctx, sh)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sh.Run(ctx, func() {}) })
	g.Go(func() error { return s.serve(ctx, l) })
	g.Go(func() error { return s.fetchAhead(ctx, sh) })
	g.Go(func() error { return s.report(ctx, ready) })
	return g.Wait()
}

// begin reads what the appliance knows of itself and of the service's orders, and takes its address.
func (s *Service) begin() (net.Listener, error) {
	id, err := loadIdentity(s.Dir)
	if err != nil {
		return nil, err
	}
	l, err := listen(s.Config.Listen, id.Port)
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		id.Port = at.Port
	}
	if err := id.save(s.Dir); err != nil {
		l.Close()
		return nil, err
	}
	if s.KeyFile != "" {
		if err := s.readKeys(); err != nil {
			l.Close()
			return nil, err
		}
	} else if err := s.loadOrders(); err != nil {
		l.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identity = id
	return l, nil
}

// describe returns the appliance as viewers and the service know it.
func (s *Service) describe() bijou.Appliance {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := bijou.Appliance{
		ID: s.identity.ID, Name: s.Config.Name, Address: s.Config.Address, Zone: s.Config.Zone, CapacityBPS: s.Config.CapacityBPS,
		Version: s.Version, Started: s.identity.started,
	}
	if a.Name == "" {
		a.Name = string(a.ID)
	}
	if a.Address == "" {
		a.Address = addressOf(s.Config.Listen, s.identity.Port, s.certificate != nil)
	}
	for _, n := range s.Config.Networks {
		if p, err := netip.ParsePrefix(n); err == nil { // Check refused all others
			a.Networks = append(a.Networks, p.Masked())
		}
	}
	return a
}

// addressOf makes the viewers' address of the one that is listened at. An address that means something else on every machine stands for the
// host by which the viewer reached the service.
func addressOf(listen string, port int, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	if err != nil || host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "*"
	}
	return scheme + net.JoinHostPort(host, fmt.Sprint(port))
}

// Address returns where viewers reach the appliance; it is known once Run is ready.
func (s *Service) Address() string { return s.describe().Address }

// State returns what the appliance does.
func (s *Service) State() bijou.ApplianceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// clientOf returns the address at the other end, or the zero address, which is in no network.
func clientOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}

// errStarting says that the appliance does not know its files yet, or any more.
var errStarting = fmt.Errorf("the appliance is starting or stopping: try again in a moment: %w", bijou.Unavailable)

// shelfNow returns the shelf, where Run has opened it.
func (s *Service) shelfNow() (*shelf.Shelf, error) {
	sh := s.open.Load()
	if sh == nil {
		return nil, errStarting
	}
	return sh, nil
}

// remember tells the shelf what the assets on it consist of, as far as their descriptions are there.
func (s *Service) remember(ctx context.Context, sh *shelf.Shelf) {
	if !s.Source.Assets {
		return
	}
	_, held := sh.Holdings()
	for _, h := range held {
		if err := s.learn(ctx, sh, h.Asset); err != nil && !errors.Is(err, bijou.Corrupt) && ctx.Err() == nil {
			s.Log.Warn("asset is not known yet", "asset", h.Asset, "error", err) // its files are served all the same
		}
	}
}

// shortName cuts a name for logs.
func shortName(name string) string {
	if len(name) <= 200 {
		return name
	}
	return name[:200] + "…"
}
