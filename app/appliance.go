package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bijou"
	"bijou/kit/run"
	"bijou/kit/watch"
	"bijou/service/appliance"
	"bijou/service/steering"
)

// makeApplianceDirs makes the directories of the appliances of bijou up.
func (p *process) makeApplianceDirs() error {
	for i := range p.config.Appliances {
		if err := os.MkdirAll(p.applianceDir(i), 0o700); err != nil {
			return cannotWrite(p.data.path, err)
		}
	}
	return nil
}

func (p *process) applianceDir(i int) string { return p.data.file("appliances", strconv.Itoa(i+1)) }

// appliances are the boxes of bijou up: each with a listener and a directory of its own, as if it stood elsewhere.
func (p *process) appliances(control bijou.Control, origin appliance.Origin) (boxes []*appliance.Service) {
	for i := range p.config.Appliances {
		name := fmt.Sprintf("box-%d", i+1)
		c := p.config.Appliance
		c.Listen = listenOf(c.Listen, p.config.Listen, i)
		if c.Name == "" {
			c.Name = name
		}
		boxes = append(boxes, appliance.New(appliance.Deps{
			Dir: p.applianceDir(i), Source: origin, Control: control, Config: c, Version: p.build.Version,
			Now: time.Now, Log: p.log.With("role", "appliance", "appliance", name), Metrics: watch.Labelled(p.metrics, "appliance", name),
		}))
	}
	return boxes
}

// listenOf returns the address of the i-th appliance: at the door's host where nothing is said, and each at a port of its own.
func listenOf(configured, door string, i int) string {
	if configured == "" {
		host, _, _ := net.SplitHostPort(door) // Config.Check has refused what is none
		return net.JoinHostPort(host, "0")
	}
	host, text, _ := net.SplitHostPort(configured) // as above
	if port, err := strconv.Atoi(text); err == nil && port > 0 {
		text = strconv.Itoa(port + i)
	}
	return net.JoinHostPort(host, text)
}

// atDoor serves segments at the service's own address by the first appliance of this process, for services that stand behind one proxy.
func (r rooms) atDoor(w http.ResponseWriter, req *http.Request) {
	if len(r.appliances) == 0 {
		http.Error(w, "no appliance is at this address", http.StatusNotFound)
		return
	}
	r.appliances[0].ServeHTTP(w, req)
}

// Edge is an appliance in front of any HTTP origin, without the rest of Bijou.
type Edge struct {
	Origin  string // base address of the origin
	KeyFile string // PEM public keys that grants are checked with
	Dir     string // its own
}

// RunEdge runs an appliance in front of the origin until ctx ends, and calls listening with its address once it is ready.
func RunEdge(ctx context.Context, e Edge, c appliance.Config, b Build, log *slog.Logger, listening func(address string)) error {
	origin, err := appliance.HTTPOrigin(e.Origin)
	if err != nil {
		return err
	}
	if e.KeyFile == "" {
		return fmt.Errorf("--origin needs --key FILE with the public keys that grants are checked with: make a pair with bijou grant key: %w", bijou.Invalid)
	}
	dir, err := filepath.Abs(e.Dir)
	if err != nil {
		return fmt.Errorf("directory %s cannot be found (%v): %w", e.Dir, err, bijou.Invalid)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cannotWrite(dir, err)
	}
	c.Listen = listenOf(c.Listen, "127.0.0.1:0", 0)
	box := appliance.New(appliance.Deps{
		Dir: dir, Source: origin, KeyFile: e.KeyFile, Config: c, Version: b.Version, Now: time.Now, Log: log, Metrics: watch.NewMetrics(b.Version, b.Commit),
	})
	return run.New(run.Part{Name: "appliance", Run: box.Run}).Run(ctx, func() { listening(box.Address()) })
}

// Remote is an appliance that belongs to a service on another machine, or in another process.
type Remote struct {
	Server    string // the service's address
	TokenFile string // holds the join token; not needed once it has joined
	Dir       string // its own
}

// RunRemote runs an appliance of the service until ctx ends, and calls listening with its address once it is ready. It joins first, where it has not:
// from then on it and the service know each other by certificates.
func RunRemote(ctx context.Context, e Remote, c appliance.Config, b Build, log *slog.Logger, listening func(address string)) error {
	dir, err := filepath.Abs(e.Dir)
	if err != nil {
		return fmt.Errorf("directory %s cannot be found (%v): %w", e.Dir, err, bijou.Invalid)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cannotWrite(dir, err)
	}
	id, err := appliance.Identify(dir)
	if err != nil {
		return err
	}
	m, err := openMember(ctx, e, dir, string(id))
	if err != nil {
		return err
	}
	c.Listen = listenOf(c.Listen, "127.0.0.1:0", 0)
	box := appliance.New(appliance.Deps{
		Dir: dir, Source: appliance.MemberOrigin(m.base+originPath, m.http), Control: steering.NewClient(m.rpc), Config: c, Version: b.Version,
		Now: time.Now, Log: log, Metrics: watch.NewMetrics(b.Version, b.Commit),
	})
	return run.New(
		run.Part{Name: "membership", Run: func(ctx context.Context, ready func()) error {
			ready()
			return m.keep(ctx, log)
		}},
		run.Part{Name: "appliance", Run: box.Run},
	).Run(ctx, func() { listening(box.Address()) })
}
