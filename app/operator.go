package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/run"
	"bijou/kit/watch"
	"bijou/service/playback"
	"bijou/service/pulse"
	"bijou/service/steering"
	"bijou/service/studio"
)

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
	client, err := operatorClient(c, h)
	if err != nil {
		return nil, err
	}
	return &Studio{studioMethods: studio.NewClient(client), Running: h.Address, close: func() {}}, nil
}

// operatorClient reaches the running service with the operator's token.
func operatorClient(c Config, h holder) (*rpc.Client, error) {
	b, err := os.ReadFile(filepath.Join(c.DataDir, "operator.token"))
	if err != nil {
		return nil, fmt.Errorf("the service at %s runs, but its operator's token in %s cannot be read (%v): become the user who started it: %w",
			h.Address, c.DataDir, rootCause(err), bijou.Denied)
	}
	return rpc.NewClient(h.Address, rpc.WithToken(strings.TrimSpace(string(b)))), nil
}

// Operator is what the command line asks of a running service.
type Operator struct {
	Steering *steering.Client
	Playback *playback.Client
	Pulse    *pulse.Client
	client   *rpc.Client
}

// CreateToken returns a token by which one machine may join.
func (o *Operator) CreateToken(ctx context.Context, in NewToken) (JoinToken, error) {
	return createToken.Do(ctx, o.client, in)
}

// OpenOperator returns the service that runs on the data directory. It fails with Unavailable where none does.
func OpenOperator(ctx context.Context, c Config) (*Operator, error) {
	h, ok := heldNow(c.DataDir)
	if !ok || h.Address == "" || !answers(ctx, h.Address) {
		return nil, fmt.Errorf("no service runs on data directory %s: start it with bijou up, or name its directory with --data-dir: %w", c.DataDir, bijou.Unavailable)
	}
	client, err := operatorClient(c, h)
	if err != nil {
		return nil, err
	}
	return &Operator{Steering: steering.NewClient(client), Playback: playback.NewClient(client), Pulse: pulse.NewClient(client), client: client}, nil
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
