package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/run"
	"bijou/kit/trust"
	"bijou/kit/watch"
	"bijou/service/studio"
)

// Build says what the program was made from.
type Build struct {
	Version string `json:"version"` // such as v0.1.0, or devel
	Commit  string `json:"commit"`  // of the source, or unknown
}

// Up runs every role in this process until ctx ends. It calls listening with the address when all are ready.
func Up(ctx context.Context, c Config, b Build, log *slog.Logger, listening func(address string)) error {
	data, err := openDataDir(c.DataDir, "up")
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
	p := &process{config: c, data: data, stores: s, log: log, metrics: watch.NewMetrics(b.Version, b.Commit)}
	if p.key, err = trust.SigningKey(data.file("keys", "grant.pem")); err != nil {
		return err
	}
	r := p.allRooms()
	if err := p.settle(ctx, r); err != nil {
		return err
	}
	return p.run(ctx, r, l, listening)
}

// settle does once what a new library needs.
func (p *process) settle(ctx context.Context, r rooms) error {
	if p.data.fresh && p.config.BundledFilms {
		films, err := fs.Sub(bundled, "bundled")
		if err != nil {
			return err
		}
		if err := seed(ctx, films, p.stores.blobs, r.catalog); err != nil {
			return err
		}
	}
	return p.data.settled()
}

func (p *process) run(ctx context.Context, r rooms, l net.Listener, listening func(string)) error {
	door, err := p.door(r)
	if err != nil {
		return err
	}
	address := "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", door)
	group := run.New(
		run.Part{Name: "members", Run: r.members.Run},
		r.studio.Part(),
		run.Part{Name: "door", Run: func(ctx context.Context, ready func()) error {
			return serve(ctx, l, watch.Requests(p.log, mux), ready)
		}},
	)
	pages := watch.Pages(group, p.metrics)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		mux.Handle(path, pages)
	}
	return group.Run(ctx, func() {
		// Who looks for the service finds it through the lock file; if that cannot be written, --server names it.
		if err := p.data.say(holder{PID: os.Getpid(), Command: "up", Address: address}); err != nil {
			p.log.Warn("address is not noted in the data directory", "error", err)
		}
		listening(address)
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

// studioMethods are what the studio offers to operators, here and there.
type studioMethods interface {
	AddSource(ctx context.Context, name string, r io.Reader) (studio.Source, error)
	AddTitle(ctx context.Context, in studio.AddTitle) (bijou.Title, error)
	Titles(ctx context.Context, in studio.AllTitles) (bijou.TitlePage, error)
	Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error)
	RemoveTitle(ctx context.Context, id bijou.TitleID) error
	Follow(ctx context.Context, id bijou.TitleID, send func(studio.Progress) error) error
}

// Studio is what the command line asks of a library: the running service's studio, or that of a data directory where none runs.
type Studio struct {
	studioMethods
	// Running is the address of the service, or empty where the work is done in this process.
	Running string
	close   func()
}

// Close lets go of the library. Work that is not finished goes on when the next process opens it.
func (s *Studio) Close() { s.close() }

// OpenStudio returns the studio of the service that runs on the data directory, or else opens the directory itself.
func OpenStudio(ctx context.Context, c Config, log *slog.Logger) (*Studio, error) {
	if h, ok := heldNow(c.DataDir); ok && h.Address != "" && answers(ctx, h.Address) {
		return remoteStudio(c, h)
	}
	data, err := openDataDir(c.DataDir, "title")
	if err != nil {
		return nil, err
	}
	s, err := openStores(ctx, c, data)
	if err != nil {
		data.close()
		return nil, err
	}
	p := &process{config: c, data: data, stores: s, log: log, metrics: watch.NewMetrics("", "")}
	r := p.libraryRooms()
	if err := p.settle(ctx, r); err != nil {
		s.close()
		data.close()
		return nil, err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	group := run.New(r.studio.Part())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- group.Run(work, func() { close(ready) }) }()
	done := func() {
		p.tidied(work, r)
		stop()
		if err := <-ended; err != nil {
			log.Warn("studio did not stop well", "error", err)
		}
		s.close()
		data.close()
	}
	select {
	case <-ready:
		return &Studio{studioMethods: r.studio, close: done}, nil
	case err := <-ended:
		stop()
		s.close()
		data.close()
		return nil, err
	}
}

// tidyTime is how long a command waits until the files of titles that it removed, or that failed, are gone. What is left by then goes when
// the next process opens the directory.
const tidyTime = 10 * time.Second

// tidied waits until no work is left on titles that are removed or have failed, since only their files are still to go.
func (p *process) tidied(ctx context.Context, r rooms) {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := p.stores.work.Unfinished(ctx)
		if err != nil {
			p.log.Warn("files of removed titles stay for now", "error", err)
			return
		}
		left = slices.DeleteFunc(left, func(id bijou.TitleID) bool {
			t, err := r.catalog.AnyTitle(ctx, id)
			return err == nil && t.State != bijou.Failed || err != nil && !errors.Is(err, bijou.NotFound)
		})
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func remoteStudio(c Config, h holder) (*Studio, error) {
	b, err := os.ReadFile(filepath.Join(c.DataDir, "operator.token"))
	if err != nil {
		return nil, fmt.Errorf("the service at %s runs, but its operator's token in %s cannot be read (%v): become the user who started it: %w",
			h.Address, c.DataDir, rootCause(err), bijou.Denied)
	}
	client := studio.NewClient(rpc.NewClient(h.Address, rpc.WithToken(strings.TrimSpace(string(b)))))
	return &Studio{studioMethods: client, Running: h.Address, close: func() {}}, nil
}

// answers tells whether a service is alive at the address.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/livez", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
