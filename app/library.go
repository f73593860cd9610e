package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"bijou"
	"bijou/engine/sqlite"
	"bijou/kit/run"
	"bijou/kit/watch"
	"bijou/service/catalog"
	"bijou/service/studio"
)

// titles are what the command line reads, here and there.
type titles interface {
	Titles(ctx context.Context, in studio.AllTitles) (bijou.TitlePage, error)
	Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error)
}

// Titles are the titles of a library, to be read.
type Titles struct {
	titles
	close func() error
}

// Close lets go of the library.
func (t *Titles) Close() error { return t.close() }

// OpenTitles returns the titles of the service that runs on the data directory, or else those of the directory itself, where it changes nothing
// and works beside whoever holds it. It fails with NotFound where the directory holds no library.
func OpenTitles(ctx context.Context, c Config) (*Titles, error) {
	if h, ok := runs(ctx, c); ok {
		client, err := operatorClient(c, h)
		if err != nil {
			return nil, err
		}
		return &Titles{titles: studio.NewClient(client), close: func() error { return nil }}, nil
	}
	if err := mustHold(c.DataDir); err != nil {
		return nil, err
	}
	store, closeStore, err := readTitles(ctx, c)
	if err != nil {
		return nil, err
	}
	reader := studio.New(studio.Deps{Editor: catalog.New(catalog.Deps{Titles: store})})
	return &Titles{titles: reader, close: closeStore}, nil
}

// readTitles opens the store of titles to be read.
func readTitles(ctx context.Context, c Config) (bijou.TitleStore, func() error, error) {
	if at := (storeAt{"titles", c.Stores.Titles}); at.address != "" {
		o := newOpener(ctx, c, nil)
		err := o.open(at)
		return o.s.titles, func() error { o.s.close(); return nil }, err
	}
	store, err := sqlite.ReadCatalog(ctx, filepath.Join(c.DataDir, "sqlite", "catalog.db"))
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// Studio is what the command line asks of a library: the running service's studio, or that of a data directory where none runs.
type Studio struct {
	*studio.Client
	catalog *catalog.Client
	// Running is the address of the service, or empty where the work is done in this process.
	Running string
	close   func()
}

// EditTitle changes what people are told of a title.
func (s *Studio) EditTitle(ctx context.Context, id bijou.TitleID, e bijou.TitleEdit) (bijou.Title, error) {
	return s.catalog.EditTitle(ctx, id, e)
}

// Close lets go of the library. Work that is not finished goes on when the next process opens it.
func (s *Studio) Close() { s.close() }

// OpenStudio returns the studio of the service that runs on the data directory, or else opens the directory itself. It fails with NotFound where
// that holds no library.
func OpenStudio(ctx context.Context, c Config, log *slog.Logger) (*Studio, error) {
	if h, ok := runs(ctx, c); ok {
		return remoteStudio(c, h)
	}
	if err := mustHold(c.DataDir); err != nil {
		return nil, err
	}
	return ownStudio(ctx, c, log)
}

// Addition is a film that is to be added.
type Addition struct {
	Film   string   // path of its file
	Texts  []string // paths of its text tracks' files
	Detach bool     // nobody will wait until it is made
}

// OpenStudioFor is as OpenStudio, and makes a library where there is none, once it is sure that the film can be read.
func OpenStudioFor(ctx context.Context, c Config, log *slog.Logger, a Addition) (*Studio, error) {
	if h, ok := runs(ctx, c); ok {
		return remoteStudio(c, h)
	}
	if a.Detach {
		return nil, fmt.Errorf("no service runs on this data directory, so nobody would go on with the film: leave --detach out, or start bijou up first: %w", bijou.Invalid)
	}
	fresh, err := isFresh(c.DataDir)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := studio.CheckFiles(ctx, filmTool(c), a.Film, a.Texts); err != nil {
			return nil, err
		}
	}
	return ownStudio(ctx, c, log)
}

// ownStudio opens the data directory and works in this process.
func ownStudio(ctx context.Context, c Config, log *slog.Logger) (*Studio, error) {
	data, err := openDataDir(c.DataDir, holderTitle)
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
		client, leave := within(r.operators.Audit, log, slices.Concat(r.studio.Routes(), r.catalog.Routes())...)
		return &Studio{Client: studio.NewClient(client), catalog: catalog.NewClient(client), close: func() { leave(); done() }}, nil
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
		left, err := p.ask().work.Unfinished(ctx)
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
	client, err := operatorClient(c, h)
	if err != nil {
		return nil, err
	}
	return &Studio{Client: studio.NewClient(client), catalog: catalog.NewClient(client), Running: h.Address, close: func() {}}, nil
}
