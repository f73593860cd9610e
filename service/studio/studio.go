// Package studio is the room where films are made ready: a film comes in as a file, and a ladder of segments goes out that players can switch between.
//
// The work on a title is cut into steps (one for each rendition, sound track, text track and the poster, and one that packs it all), which
// workers lease from a bijou.WorkStore. A step that is done twice leaves the same files, so a kill costs the steps in work and nothing else.
package studio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bijou"
	"bijou/kit/run"

	"golang.org/x/sync/errgroup"
)

// Config is the room's section of the configuration.
type Config struct {
	Workers int `yaml:"workers" doc:"How many steps of films are worked on at once; each encode keeps about two processors busy."`

	Watch      string        `yaml:"watch" secret:"true" doc:"Where films are looked for, each of which becomes a title: a directory, or s3://BUCKET/PREFIX; nowhere where empty."`
	WatchEvery time.Duration `yaml:"watch_every" doc:"How often they are looked for. A film is taken once two looks have found it the same."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config { return Config{Workers: 1, WatchEvery: 30 * time.Second} }

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	if c.Workers < 1 || c.Workers > 64 {
		return fmt.Errorf("workers is %d: it must be 1 to 64: %w", c.Workers, bijou.Invalid)
	}
	if c.WatchEvery < time.Second || c.WatchEvery > 24*time.Hour {
		return fmt.Errorf("watch_every is %s: it must be 1s to 24h: %w", c.WatchEvery, bijou.Invalid)
	}
	return nil
}

// Deps are what the room works with.
type Deps struct {
	Films   bijou.FilmTool
	Work    bijou.WorkStore
	Blobs   bijou.BlobStore // sources and assets
	Editor  bijou.Editor
	Inbox   bijou.Inbox                                // where films are looked for; nil for nowhere
	Scratch string                                     // directory for files in work; what is in it is removed at the start
	Free    func(dir string) (bytes uint64, err error) // how much the directory's disk still takes; nil where nobody can tell
	Config  Config
	Log     *slog.Logger
	Now     func() time.Time
}

// Service takes films in and has them made ready.
type Service struct {
	Deps
	host string        // names this process's workers
	poke chan struct{} // wakes a worker when there is new work

	mu      sync.Mutex
	running map[bijou.JobID]*step
	stuck   string // why no work can be leased; empty while it can

	sources sync.Mutex // held while sources are given to work, or dropped
}

// step is one that a worker of this process has in work.
type step struct {
	title   bijou.TitleID
	discard bool
	stop    context.CancelCauseFunc
}

// New assembles the room.
func New(d Deps) *Service {
	host, err := os.Hostname()
	if err != nil {
		host = "worker" // the name is for people; what follows makes it one of a kind, also where each process is number 1 of a container
	}
	return &Service{
		Deps: d, poke: make(chan struct{}, 1), running: map[bijou.JobID]*step{},
		host: bijou.NewID[string](fmt.Sprintf("%s-%d-", host, os.Getpid())),
	}
}

// resumeTime is how long the room waits to be ready until what a kill left is taken up; the rest is taken up afterwards.
const resumeTime = 2 * time.Second

// Run tidies what a kill left behind and works on films until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.emptyScratch(); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, resumeTime)
	err := s.resume(soon)
	cancel()
	away := func() bool { return errors.Is(err, bijou.Unavailable) || errors.Is(err, context.DeadlineExceeded) }
	if err != nil && !away() {
		return err
	}
	ready()
	for ; away(); err = s.resume(ctx) { // a store that is away may come, and one with much to do gets the time
		s.noteStuck(err)
		pause(ctx, leaseTerm)
		if ctx.Err() != nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.sweep(ctx) })
	if s.Inbox != nil {
		g.Go(func() error { return s.watch(ctx) })
	}
	for n := range s.Config.Workers {
		g.Go(func() error { return s.worker(ctx, fmt.Sprintf("%s-%d", s.host, n)) })
	}
	return g.Wait()
}

// Part returns the room as part of a process. Its grace is for the steps in work, which are handed back.
func (s *Service) Part() run.Part {
	return run.Part{Name: "studio", Run: s.Run, Grace: 20 * time.Second}
}

func (s *Service) emptyScratch() error {
	entries, err := os.ReadDir(s.Scratch)
	if err != nil {
		return fmt.Errorf("scratch directory %s cannot be read (%v): make it, or give this user the right to write there: %w", s.Scratch, err, bijou.Unavailable)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.Scratch, e.Name())); err != nil {
			return fmt.Errorf("scratch directory %s cannot be emptied (%v): %w", s.Scratch, err, bijou.Unavailable)
		}
	}
	return nil
}

// resume takes up what a kill left between two steps, and removes sources that nobody works on. One title that cannot go on holds up no other.
func (s *Service) resume(ctx context.Context) error {
	q := bijou.TitleQuery{State: bijou.Draft, Limit: 500}
	for {
		page, err := s.Editor.AllTitles(ctx, q)
		if err != nil {
			return err
		}
		for _, t := range page.Titles {
			err := s.advance(ctx, t.ID)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.Log.Error("title does not go on until the next start", "title", t.ID, "error", err)
			}
		}
		if q.Before = page.Next; page.Next == "" {
			return s.dropSources(ctx)
		}
	}
}

// sweepEvery is how often sources that nobody works on are looked for.
const sweepEvery = time.Hour

// sweep removes sources that nobody works on, until ctx ends.
func (s *Service) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.dropSources(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("old sources stay for now", "error", err)
		}
	}
}

// nudge wakes a worker. One nudge is enough, however many come: workers go on until there is no work.
func (s *Service) nudge() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}
