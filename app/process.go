package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"bijou"
	"bijou/kit/run"
	"bijou/kit/trust"
	"bijou/kit/watch"
)

// Build says what the program was made from.
type Build struct {
	Version string `json:"version"` // such as v0.1.0, or devel
	Commit  string `json:"commit"`  // of the source, or unknown
}

// Ready is what a service says of itself once all its parts work.
type Ready struct {
	Address string // that it listens at, such as http://127.0.0.1:8080
	// First is where the first administrator makes their user, and when that ends; empty where there is one.
	First   string
	Expires time.Time
}

// Up runs every role in this process until ctx ends. It calls listening when all are ready.
func Up(ctx context.Context, c Config, b Build, log *slog.Logger, listening func(Ready)) error {
	data, err := openDataDir(c.DataDir, holderUp)
	if err != nil {
		return err
	}
	defer data.close()
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := openStores(ctx, c, data)
	if err != nil {
		return err
	}
	defer s.close()
	p := &process{config: c, data: data, stores: s, log: log, metrics: watch.NewMetrics(b.Version, b.Commit), build: b, address: "http://" + l.Addr().String()}
	if p.inbox, err = openInbox(c); err != nil {
		return err
	}
	if p.ring, err = trust.OpenRing(data.file("keys", "grants"), time.Now()); err != nil {
		return err
	}
	if p.cluster, err = openCluster(data.file("keys"), time.Now); err != nil {
		return err
	}
	if p.token, err = trust.Token(data.file("operator.token")); err != nil {
		return err
	}
	if err := p.makeApplianceDirs(); err != nil {
		return err
	}
	if err := filmTool(c).Installed(); err != nil {
		log.Warn("no film can be added", "error", err)
	}
	r := p.allRooms()
	soon, cancel := p.soon(ctx)
	err = p.settle(soon, r)
	cancel()
	if err != nil && !p.waits(err) {
		return err
	}
	var late []run.Part
	if err != nil {
		log.Warn("a new library waits for a store", "error", err)
		late = append(late, run.Part{Name: "new library", Run: p.settleLater(r)})
	}
	return p.run(ctx, r, l, late, listening)
}

// settle does once what a new library needs.
func (p *process) settle(ctx context.Context, r rooms) error {
	if p.data.fresh && p.config.BundledFilms {
		films, err := fs.Sub(bundled, "bundled")
		if err != nil {
			return err
		}
		if err := seed(ctx, films, p.ask().blobs, r.catalog); err != nil {
			return err
		}
	}
	return p.data.settled()
}

// soonTime is how long the start waits for servers that keep stores, before it goes on without them.
const soonTime = 2 * time.Second

// soon bounds what the start asks of servers. What lies in the data directory has the time that it needs.
func (p *process) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	if len(p.stores.servers) == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, soonTime)
}

// waits tells whether what failed may succeed later, since a server that keeps a store is away.
func (p *process) waits(err error) bool {
	return len(p.stores.servers) > 0 && (errors.Is(err, bijou.Unavailable) || errors.Is(err, context.DeadlineExceeded))
}

// settleLater settles once the stores that it needs are there.
func (p *process) settleLater(r rooms) func(ctx context.Context, ready func()) error {
	return func(ctx context.Context, ready func()) error {
		ready()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(checkEvery):
			}
			err := p.settle(ctx, r)
			if err == nil {
				<-ctx.Done() // a part that ends would end the process
				return nil
			}
			if !p.waits(err) && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (p *process) run(ctx context.Context, r rooms, l net.Listener, late []run.Part, listening func(Ready)) error {
	soon, cancel := p.soon(ctx)
	first, err := r.operators.First(soon)
	cancel()
	if p.waits(err) {
		p.log.Warn("whether there is an administrator is not known yet: bijou user add makes one", "error", err)
	} else if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", p.door(r))
	parts := []run.Part{{Name: "members", Run: r.members.Run}, {Name: "pulse", Run: r.pulse.Run}, {Name: "audit", Run: r.operators.Audit.Run}, r.studio.Part()}
	if len(p.stores.servers) > 0 {
		parts = append(parts, run.Part{Name: "stores", Run: p.stores.watchServers(p.log)})
	}
	parts = append(parts, late...)
	for i, box := range r.appliances {
		parts = append(parts, run.Part{Name: fmt.Sprintf("appliance-%d", i+1), Run: box.Run})
	}
	group := run.New(append(parts, run.Part{Name: "door", Run: func(ctx context.Context, ready func()) error {
		return p.serveBoth(ctx, l, watch.Requests(p.log, mux), watch.Requests(p.log, p.roleDoor(r)), ready)
	}})...)
	watch.WatchNeeds(p.metrics, p.stores.needs)
	pages := watch.Pages(health{group, p.ask().watch}, p.metrics, p.stores.needs)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		mux.Handle(path, pages)
	}
	return group.Run(ctx, func() {
		// Who looks for the service finds it through the lock file; if that cannot be written, --server names it.
		if err := p.data.say(holder{PID: os.Getpid(), Command: holderUp, Address: p.address}); err != nil {
			p.log.Warn("address is not noted in the data directory", "error", err)
		}
		ready := Ready{Address: p.address}
		if first != nil {
			ready.First, ready.Expires = first.Page, first.Expires
		}
		listening(ready)
	})
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use by another program: stop that one, or choose another with --listen: %w", address, bijou.Conflict)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen at %s: choose a port from 1024 on with --listen: %w", address, bijou.Denied)
	}
	return nil, fmt.Errorf("cannot listen at %s (%v): choose an address of this machine with --listen: %w", address, err, bijou.Invalid)
}

// Bounds of the door, for strangers who send slowly or much.
const (
	headerTime  = 5 * time.Second
	headerBytes = 32 << 10
	idleTime    = 65 * time.Second
	// lastWords is how long requests may finish after the service was told to stop, and streams are told to end after a tenth of it.
	lastWords = 5 * time.Second
)

// serveBoth answers people in clear text and members of the cluster by TLS, at one address.
func (p *process) serveBoth(ctx context.Context, l net.Listener, people, members http.Handler, ready func()) error {
	both := newSplit(l)
	return run.New(
		run.Part{Name: "address", Run: func(ctx context.Context, ready func()) error {
			ready()
			return both.run(ctx)
		}},
		run.Part{Name: "members", Run: func(ctx context.Context, ready func()) error {
			return serve(ctx, tls.NewListener(both.tls, trust.ServerTLS(p.cluster.self)), members, ready)
		}},
		run.Part{Name: "people", Run: func(ctx context.Context, ready func()) error { return serve(ctx, both.plain, people, ready) }},
	).Run(ctx, ready)
}

// serve answers requests until ctx ends, then lets those in work finish.
func serve(ctx context.Context, l net.Listener, h http.Handler, ready func()) error {
	work, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, MaxHeaderBytes: headerBytes, IdleTimeout: idleTime,
		BaseContext:  func(net.Listener) context.Context { return work },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // broken connections are the client's matter
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	time.AfterFunc(lastWords/10, func() {
		endWork(fmt.Errorf("the service is stopping: try again in a moment: %w", bijou.Unavailable))
	})
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return srv.Close() // whoever is still reading has had their time
	}
	return nil
}
