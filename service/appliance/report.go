package appliance

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"bijou"
	"bijou/service/appliance/shelf"
)

const (
	// reportEvery is how often an appliance reports until it is told otherwise.
	reportEvery = 2 * time.Second
	// reportTime bounds one report.
	reportTime = 5 * time.Second
	// corruptFor is how long after a corrupt file was found an appliance counts as faulty: viewers are better served elsewhere meanwhile.
	corruptFor = time.Minute
	// keysEvery is how often a key file is looked at.
	keysEvery = 5 * time.Second
)

// report tells the service how the appliance is, and obeys, until ctx ends. An appliance whose service does not answer goes on as it is.
func (s *Service) report(ctx context.Context, ready func()) error {
	if s.Control == nil {
		ready()
		return s.watchKeys(ctx)
	}
	m := &meter{at: s.Now()}
	alone := false
	for first := true; ; first = false {
		wait := reportEvery
		orders, err := s.reportOnce(ctx, m)
		switch {
		case err == nil:
			if alone {
				s.Log.Info("service answers again")
			}
			alone, wait = false, time.Duration(max(orders.EveryMS, 100))*time.Millisecond
			s.obey(orders)
		case ctx.Err() != nil:
			return nil
		case !alone:
			alone = true
			s.Log.Warn("service does not take the appliance's report: it serves on with what it knows", "error", err)
		}
		if first {
			ready()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (s *Service) reportOnce(ctx context.Context, m *meter) (bijou.ApplianceOrders, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	sh, err := s.shelfNow()
	if err != nil {
		return bijou.ApplianceOrders{}, err
	}
	st := sh.Stats()
	version, held := sh.Holdings()
	r := bijou.ApplianceReport{
		Appliance: s.describe(), State: s.State(), Load: m.measure(s), HeldBytes: st.Held, CapBytes: st.Cap,
		Corrupt: st.Corrupt, Fault: s.faultOf(st), Version: version,
	}
	s.mu.Lock()
	if version != s.known {
		r.Listed, r.Holdings = true, held[:min(len(held), bijou.MaxHoldings)]
	}
	s.mu.Unlock()
	return s.Control.Report(ctx, r)
}

// faultOf says why the appliance cannot serve well, or nothing.
func (s *Service) faultOf(st shelf.Stats) string {
	if !st.LastCorrupt.IsZero() && s.Now().Sub(st.LastCorrupt) < corruptFor {
		return "files on its disk were found corrupt within the last minute"
	}
	return st.Fault[:min(len(st.Fault), 300)]
}

// meter measures what is told of as load.
type meter struct {
	at   time.Time
	sent int64
	cpu  time.Duration
}

func (m *meter) measure(s *Service) bijou.ApplianceLoad {
	now, sent := s.Now(), s.sent.Load()
	var use syscall.Rusage
	cpu := m.cpu
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		cpu = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	load := bijou.ApplianceLoad{Connections: s.connections.Load(), Requests: s.requests.Load()}
	if d := now.Sub(m.at); d > 0 && m.cpu > 0 {
		load.SentBPS = int64(float64(8*(sent-m.sent)) / d.Seconds())
		load.CPU = (cpu - m.cpu).Seconds() / d.Seconds() / float64(runtime.NumCPU())
	}
	m.at, m.sent, m.cpu = now, sent, cpu
	return load
}

// obey does what the service orders.
func (s *Service) obey(o bijou.ApplianceOrders) {
	s.gate.set(o.Keys, o.Revoked, o.Gone)
	s.peers.set(o.Peers)
	s.mu.Lock()
	s.state, s.known = o.State, o.Known
	changed := !sameOrders(s.orders, o)
	s.orders = o
	s.mu.Unlock()
	if sh := s.open.Load(); sh != nil {
		for _, id := range o.Gone {
			s.assets.Delete(id)
			if err := sh.Remove(id); err != nil {
				s.Log.Error("files of a removed title stay", "asset", id, "error", err) // ordered again with the next report
			}
		}
	}
	if changed {
		if err := s.saveOrders(o); err != nil {
			s.Log.Error("orders are not kept: after a restart without the service the appliance goes by older ones", "error", err)
		}
	}
}

// sameOrders tells whether what is kept of two orders is the same.
func sameOrders(a, b bijou.ApplianceOrders) bool {
	x, errX := json.Marshal(keptOrders(a))
	y, errY := json.Marshal(keptOrders(b))
	return errX == nil && errY == nil && string(x) == string(y)
}

// keptOrders is what an appliance goes by after a restart, until the service answers.
func keptOrders(o bijou.ApplianceOrders) bijou.ApplianceOrders {
	return bijou.ApplianceOrders{State: o.State, Keys: o.Keys, Revoked: o.Revoked}
}

const ordersFile = "orders.json"

func (s *Service) saveOrders(o bijou.ApplianceOrders) error {
	b, err := json.Marshal(keptOrders(o))
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(s.Dir, ordersFile), b)
}

// loadOrders reads the orders of before a restart. An appliance that has none yet begins with Deps.Keys.
func (s *Service) loadOrders() error {
	b, err := os.ReadFile(filepath.Join(s.Dir, ordersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var o bijou.ApplianceOrders
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return fmt.Errorf("orders in %s cannot be read (%v): remove the file, and they are asked for again: %w", filepath.Join(s.Dir, ordersFile), err, bijou.Corrupt)
	}
	s.gate.set(o.Keys, o.Revoked, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.orders = o.State, o
	return nil
}

// watchKeys reads the key file again when it changes, until ctx ends.
func (s *Service) watchKeys(ctx context.Context) error {
	var last time.Time
	if info, err := os.Stat(s.KeyFile); err == nil {
		last = info.ModTime()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(keysEvery):
		}
		info, err := os.Stat(s.KeyFile)
		if s.KeyFile == "" || err != nil || info.ModTime().Equal(last) {
			continue // a file that is gone leaves its keys in force
		}
		last = info.ModTime()
		if err := s.readKeys(); err != nil {
			s.Log.Error("keys stay as they were", "error", err)
		}
	}
}

// readKeys reads the public keys that grants are checked with.
func (s *Service) readKeys() error {
	raw, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return fmt.Errorf("key file %s cannot be read (%v): name a file of PEM public keys with --key: %w", s.KeyFile, err, bijou.Invalid)
	}
	keys, err := parseKeys(raw)
	if err != nil {
		return fmt.Errorf("key file %s: %w", s.KeyFile, err)
	}
	s.gate.set(keys, nil, nil)
	return nil
}

// parseKeys returns the Ed25519 public keys of PEM blocks "PUBLIC KEY" (RFC 7468 section 13). It fails with Invalid where there is none.
func parseKeys(raw []byte) (keys [][]byte, err error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := key.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("block %q is no Ed25519 public key: write one with bijou grant key: %w", block.Type, bijou.Invalid)
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("it holds no PEM public key: write one with bijou grant key: %w", bijou.Invalid)
	}
	return keys, nil
}
