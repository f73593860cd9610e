package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/engine/cached"
	"bijou/engine/directory"
	"bijou/engine/memcached"
	"bijou/engine/memory"
	"bijou/engine/sqlite"
	"bijou/test/engines"
)

const (
	cacheRuns    = 7 // of which the median counts
	cacheRun     = 300 * time.Millisecond
	cacheKeys    = 1000
	cacheFilms   = 30 // of two hours each
	cacheStarts  = 300
	noMemcached  = "memcached://127.0.0.1:1" // nothing listens there
	benchPatient = 10 * time.Second
)

// cache measures the client of memcached beside plain requests one at a time, and what a cache saves a start of playing.
func cache(ctx context.Context, b *bench, r *report) (err error) {
	alone := &engines.Alone{}
	defer func() {
		alone.Close()
		if failed, ok := recover().(engines.Failure); ok {
			err = errors.Join(err, errors.New(string(failed)))
		}
	}()
	server := engines.Memcached(alone)
	if err := cacheGets(ctx, r, server.Address); err != nil {
		return err
	}
	if err := cacheTitles(ctx, b, r, server.Address); err != nil {
		return err
	}
	return cachePlays(ctx, b, r, server.Address)
}

func benchKey(n int) string { return fmt.Sprint("bench/", n%cacheKeys) }

// fillBench keeps a value of so many bytes under each key, and returns the cache.
func fillBench(ctx context.Context, address string, size int) (*memcached.Cache, error) {
	c, err := memcached.Open(fmt.Sprintf("memcached://%s?prefix=b%d", address, size), memcached.Options{Patience: benchPatient})
	if err != nil {
		return nil, err
	}
	for n := range cacheKeys {
		found, err := c.Recall(ctx, benchKey(n))
		if err == nil {
			_, err = c.Fill(ctx, benchKey(n), found[0].Ticket, make([]byte, size), time.Hour)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// cacheGets measures gets a CPU-second of the client, alternating with the peer.
func cacheGets(ctx context.Context, r *report, address string) error {
	r.line("Gets of values that are there, by `engine/memcached` over its two connections, beside the same meta gets (`mg`) sent one at a time, each caller on a connection of its own. Processor time is the client's alone.\n")
	r.line("| value, callers, keys a call | gets a CPU-second (median, least to most) | one at a time | ratio | gets a second | one at a time |")
	r.line("|---|---|---|---|---|---|")
	for _, c := range []struct{ size, callers, keys int }{{200, 1, 1}, {200, 64, 1}, {200, 1, 100}, {200, 16, 100}, {20_000, 64, 1}, {20_000, 1, 20}} {
		client, err := fillBench(ctx, address, c.size)
		if err != nil {
			return err
		}
		var ours, theirs, wall, wallTheirs []float64
		for range cacheRuns {
			cpu, took, n, err := together(c.callers, func(at int) (int, error) { return getMany(ctx, client, at, c.keys, c.size) }, nil)
			if err != nil {
				return err
			}
			ours, wall = append(ours, float64(n)/cpu.Seconds()), append(wall, float64(n)/took.Seconds())
			conns, err := dialAll(address, c.callers)
			if err != nil {
				return err
			}
			cpu, took, n, err = together(c.callers, nil, func(caller, at int) (int, error) {
				return getOne(conns[caller], fmt.Sprintf("b%d:%s", c.size, benchKey(at)), c.size)
			})
			for _, conn := range conns {
				err = errors.Join(err, conn.Close())
			}
			if err != nil {
				return err
			}
			theirs, wallTheirs = append(theirs, float64(n)/cpu.Seconds()), append(wallTheirs, float64(n)/took.Seconds())
		}
		m, lo, hi := spread(ours)
		peer, _, _ := spread(theirs)
		w, _, _ := spread(wall)
		wPeer, _, _ := spread(wallTheirs)
		r.line("| %s bytes, %d, %d | %s, %s to %s | %s | %.1f | %s | %s |", thousands(c.size), c.callers, c.keys, thousands(m), thousands(lo), thousands(hi), thousands(peer), m/peer, thousands(w), thousands(wPeer))
		if err := client.Close(); err != nil {
			return err
		}
	}
	r.line("")
	return nil
}

// together has callers work for a while, and returns what that took and how much they did.
func together(callers int, work func(at int) (int, error), own func(caller, at int) (int, error)) (cpu, took time.Duration, n int, err error) {
	before, err := cpuTime()
	if err != nil {
		return 0, 0, 0, err
	}
	if own == nil {
		own = func(_, at int) (int, error) { return work(at) }
	}
	begin := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			did, at := 0, caller*37
			var failure error
			for time.Since(begin) < cacheRun && failure == nil {
				var more int
				more, failure = own(caller, at)
				did, at = did+more, at+more
			}
			mu.Lock()
			defer mu.Unlock()
			n, err = n+did, errors.Join(err, failure)
		})
	}
	all.Wait()
	took = time.Since(begin)
	after, timeErr := cpuTime()
	return after - before, took, n, errors.Join(err, timeErr)
}

func getMany(ctx context.Context, c *memcached.Cache, at, keys, size int) (int, error) {
	names := make([]string, keys)
	for i := range names {
		names[i] = benchKey(at + i)
	}
	found, err := c.Recall(ctx, names...)
	if err != nil {
		return 0, err
	}
	for _, f := range found {
		if !f.Found || len(f.Value) != size {
			return 0, errors.New("a value that was kept is not there")
		}
	}
	return keys, nil
}

// plain is a connection on which one request is under way at a time.
type plain struct {
	net.Conn
	r *bufio.Reader
}

func dialAll(address string, n int) (all []plain, err error) {
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		all = append(all, plain{conn, bufio.NewReader(conn)})
	}
	return all, nil
}

func getOne(c plain, key string, size int) (int, error) {
	if _, err := c.Write([]byte("mg " + key + " v\r\n")); err != nil {
		return 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("VA "+strconv.Itoa(size))) {
		return 0, fmt.Errorf("the server says %q (%v)", line, err)
	}
	value := make([]byte, size+2)
	_, err = io.ReadFull(c.r, value)
	return 1, err
}

// cacheTitles measures the reading of one title, with each kind of cache before SQLite and with none.
func cacheTitles(ctx context.Context, b *bench, r *report, address string) error {
	store, err := sqlite.OpenCatalog(ctx, filepath.Join(b.dir, "titles.db"))
	if err != nil {
		return err
	}
	defer store.Close()
	if err := putFilms(ctx, store, nil); err != nil {
		return err
	}
	shared, err := memcached.Open("memcached://"+address+"?prefix=titles", memcached.Options{Patience: benchPatient})
	if err != nil {
		return err
	}
	defer shared.Close()
	r.line("| a title is read by one caller | processor time of the process (median, least to most) | time |")
	r.line("|---|---|---|")
	for _, c := range []struct {
		what string
		from bijou.TitleStore
	}{
		{"from SQLite, without a cache", store},
		{"from the cache in the process", cached.NewTitles(store, memory.New(16<<20), time.Now)},
		{"from memcached on the same machine", cached.NewTitles(store, shared, time.Now)},
	} {
		var each, time []float64
		for range cacheRuns {
			cpu, took, n, err := together(1, func(at int) (int, error) {
				_, err := c.from.Title(ctx, filmID(at%cacheFilms))
				return 1, err
			}, nil)
			if err != nil {
				return err
			}
			each, time = append(each, cpu.Seconds()*1e6/float64(n)), append(time, took.Seconds()*1e6/float64(n))
		}
		m, lo, hi := spread(each)
		wall, _, _ := spread(time)
		r.line("| %s | %.1f µs, %.1f to %.1f | %.1f µs |", c.what, m, lo, hi, wall)
	}
	r.line("")
	return nil
}

func filmID(n int) bijou.TitleID { return bijou.TitleID(fmt.Sprint("ttl_bench", n)) }

// putFilms keeps titles, and the description of a film of two hours for each where blobs are given.
func putFilms(ctx context.Context, titles bijou.TitleStore, blobs bijou.BlobStore) error {
	for n := range cacheFilms {
		a := twoHours(n)
		t := bijou.Title{
			ID: filmID(n), Kind: bijou.Film, Name: fmt.Sprint("Film ", n), Synopsis: strings.Repeat("What it is about. ", 20), State: bijou.Published,
			Asset: a.ID, RuntimeMS: a.RuntimeMS, Tracks: a.Tracks(), Genres: []string{"Drama"}, Added: time.Now(), Updated: time.Now(),
		}
		if err := titles.PutTitle(ctx, t); err != nil {
			return err
		}
		if blobs == nil {
			continue
		}
		note, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if _, err := blobs.Put(ctx, a.ID.Key(bijou.AssetFile), bytes.NewReader(note)); err != nil {
			return err
		}
	}
	return nil
}

// twoHours describes a film in four renditions and two languages, in segments of four seconds.
func twoHours(n int) bijou.Asset {
	media := func(name, codec string, timescale, ticks, odd int64) bijou.Media {
		m := bijou.Media{Name: name, Codec: codec, Timescale: timescale, PeakBPS: 4_000_000, AverageBPS: 2_000_000, InitBytes: 900, InitSHA256: strings.Repeat("0", 64)}
		for i := range int64(1800) {
			sum := sha256.Sum256(fmt.Append(nil, n, name, i))
			m.Segments = append(m.Segments, bijou.Segment{Ticks: ticks + i%2*odd, Bytes: 1_000_000 + i*7919%100_000, SHA256: hex.EncodeToString(sum[:])})
		}
		return m
	}
	a := bijou.Asset{ID: bijou.AssetID(fmt.Sprint("ast_bench", n)), Title: filmID(n), Version: 1, RuntimeMS: 7_200_000, SegmentMS: 4000}
	for _, h := range []int{1080, 720, 480, 240} {
		a.Video = append(a.Video, bijou.VideoTrack{Media: media(fmt.Sprint("v", h), "avc1.64001f", 24000, 96000, 0), Width: h * 16 / 9, Height: h, RateNum: 24, RateDen: 1, FirstKey: true})
	}
	for _, l := range []string{"en", "de"} {
		a.Audio = append(a.Audio, bijou.AudioTrack{Media: media("a-"+l, "mp4a.40.2", 48000, 191488, 1024), Language: l, Label: l, Channels: 2, SampleRate: 48000})
	}
	return a
}

// cachePlays measures starts of the service, with each kind of cache and with one that is away.
func cachePlays(ctx context.Context, b *bench, r *report, address string) error {
	dir := filepath.Join(b.dir, "plays")
	s, err := b.start(ctx, dir, "--set", "bundled_films=false")
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	titles, err := sqlite.OpenCatalog(ctx, filepath.Join(dir, "sqlite", "catalog.db"))
	if err != nil {
		return err
	}
	blobs, err := directory.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	if err := errors.Join(putFilms(ctx, titles, blobs), titles.Close(), blobs.Close()); err != nil {
		return err
	}
	r.line("A start is the viewing and its HLS playlist, of one of %d films of two hours. A film's first start reads its description, 1.2 MB of JSON; the others its outline from the cache.\n", cacheFilms)
	r.line("| a start | processor time of the service (median, least to most) | time |")
	r.line("|---|---|---|")
	for _, c := range []struct{ what, cache string }{
		{"with the cache in the process", ""}, {"with memcached on the same machine", "memcached://" + address + "?prefix=plays"}, {"with a memcached that is away", noMemcached},
	} {
		cpu, took, first, err := b.plays(ctx, dir, c.cache)
		if err != nil {
			return err
		}
		m, lo, hi := spread(cpu)
		wall, _, _ := spread(took)
		r.line("| %s | %.2f ms, %.2f to %.2f | %.2f ms |", c.what, m, lo, hi, wall)
		if c.cache == "" {
			r.line("| the first of each film, which no cache knows yet | %.2f ms | |", first)
		}
	}
	r.line("")
	return nil
}

// plays returns milliseconds of the processor and of the clock that a start takes, in several runs, and those of the processor of first starts.
func (b *bench) plays(ctx context.Context, dir, cache string) (cpu, took []float64, first float64, err error) {
	s, err := b.start(ctx, dir, "--set", "stores.cache="+cache)
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // until appliances have reported
		if err = s.play(ctx, 0); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return nil, nil, 0, err
	}
	// The film that was asked for until appliances had reported is known already.
	if first, _, err = s.playAll(ctx, cacheFilms-1, func(n int) int { return n + 1 }); err != nil {
		return nil, nil, 0, err
	}
	for range cacheRuns {
		each, wall, err := s.playAll(ctx, cacheStarts, func(n int) int { return n * 7 % cacheFilms })
		if err != nil {
			return nil, nil, 0, err
		}
		cpu, took = append(cpu, each), append(took, wall)
	}
	return cpu, took, first, nil
}

// playAll starts so many films, and returns milliseconds of the service's processor and of the clock for each.
func (s *service) playAll(ctx context.Context, starts int, film func(n int) int) (cpu, took float64, err error) {
	before, _, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	for n := range starts {
		if err := s.play(ctx, film(n)); err != nil {
			return 0, 0, err
		}
	}
	ran := time.Since(begin)
	after, _, err := usage(s.cmd.Process.Pid)
	return (after - before).Seconds() * 1000 / float64(starts), ran.Seconds() * 1000 / float64(starts), err
}

// play starts a film as a player does: the viewing, and its playlist.
func (s *service) play(ctx context.Context, n int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/api/v1/titles/"+string(filmID(n))+"/plays", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var p bijou.Play
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusCreated {
		return fmt.Errorf("start %s: %s, %v", filmID(n), res.Status, err)
	}
	_, err = get(ctx, s.address+p.HLS)
	return err
}
