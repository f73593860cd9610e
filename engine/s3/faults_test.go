package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// quick is the patience of tests, whose servers are near.
var quick = patience{try: 5 * time.Second, backoff: time.Millisecond, stall: 5 * time.Second}

// between starts a proxy before the server whose answers f gives: by itself, or by calling pass.
func between(t testing.TB, server string, f func(w http.ResponseWriter, r *http.Request, pass http.Handler)) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	pass.ErrorLog = log.New(io.Discard, "", 0) // connections break on purpose
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, pass) }))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// reset ends the connection as a host does that has forgotten it.
func reset(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.Close()
	}
}

// refuse answers as S3 does when something is wrong.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", code)
}

// cut passes on the first bytes of an answer's body, and then ends the connection.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; err == nil && n < len(b) {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// seeded returns a source of chance. To have a run again, set BIJOU_TEST_SEED to the seed that it printed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BIJOU_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed: BIJOU_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// unreliable returns the address of a proxy that fails a fifth of all requests, in one of seven ways, and counts them.
func unreliable(t *testing.T, server string) (address string, counts func() map[string]int) {
	random, seen := seeded(t), map[string]int{}
	var mu sync.Mutex
	draw := func() (way string, n int) {
		mu.Lock()
		defer mu.Unlock()
		way = "none"
		if random.IntN(5) == 0 {
			way = []string{"reset", "500", "503", "slow down", "lost answer", "cut", "hang up"}[random.IntN(7)]
		}
		seen[way]++
		return way, random.IntN(200_000)
	}
	address = between(t, server, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		switch way, n := draw(); way {
		case "reset":
			reset(w)
		case "hang up":
			_, _ = io.CopyN(io.Discard, r.Body, int64(n)) // in the middle of what is sent
			panic(http.ErrAbortHandler)
		case "500":
			refuse(w, 500, "InternalError")
		case "503":
			w.WriteHeader(503)
		case "slow down":
			refuse(w, 503, "SlowDown")
		case "lost answer": // the server has done it
			pass.ServeHTTP(httptest.NewRecorder(), r)
			reset(w)
		case "cut":
			pass.ServeHTTP(&cut{w, n}, r)
		default:
			pass.ServeHTTP(w, r)
		}
	})
	return address, func() map[string]int { return seen }
}

// content returns n bytes that tell which put they are of.
func content(put, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(put), byte(put >> 8)}).Read(b)
	return b
}

func wholeBlob(s *Store, key string) ([]byte, error) {
	r, _, err := s.Get(context.Background(), key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// checkUnderFaults stores and reads blobs of the given sizes over a proxy that fails, by several callers at once.
func checkUnderFaults(t *testing.T, server string, o Options, sizes []int, rounds int) {
	address, counts := unreliable(t, server)
	s := open(t, fresh(address), o)
	s.patience = quick
	var all sync.WaitGroup
	for caller := range 4 {
		all.Go(func() {
			for round := range rounds {
				n := sizes[(caller+round)%len(sizes)]
				key, want := fmt.Sprintf("of/%d", caller), content(caller*1000+round, n)
				if b, err := s.Put(t.Context(), key, struct{ io.Reader }{bytes.NewReader(want)}); err != nil || b.Size != int64(n) {
					t.Errorf("put of %d bytes: got %+v and %v", n, b, err)
				}
				got, err := wholeBlob(s, key)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("get of %d bytes: got %d, the same: %v (%v)", n, len(got), bytes.Equal(got, want), err)
				}
				from := n / 3
				r, _, err := s.Get(t.Context(), key, int64(from), int64(n/2))
				if err != nil {
					t.Errorf("get of a range: %v", err)
					continue
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[from:from+n/2]) {
					t.Errorf("read of a range of %d bytes: got %d (%v)", n/2, len(got), err)
				}
				r.Close()
				if bs, err := s.List(t.Context(), key, "", 10); err != nil || len(bs) != 1 {
					t.Errorf("list: got %v (%v)", bs, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("requests by what became of them: %v", counts())
}

func TestWhatIsStoredOverABadConnectionIsWhole(t *testing.T) {
	checkUnderFaults(t, serve(t), Options{PartBytes: 64 << 10, Parts: 3}, []int{0, 10, 64 << 10, 64<<10 + 1, 300_000, 1_000_000}, 12)
}

func TestAReaderGoesOnWhereItsConnectionBroke(t *testing.T) {
	server := serve(t)
	var ranges []string
	cutting := between(t, server, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/k") {
			pass.ServeHTTP(w, r)
			return
		}
		ranges = append(ranges, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Match")))
		pass.ServeHTTP(&cut{w, 40_000}, r)
	})
	s := open(t, fresh(cutting), Options{})
	s.patience = quick
	want := content(1, 100_000)
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	got, err := wholeBlob(s, "k")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes (%v), want the %d that were put", len(got), err, len(want))
	}
	if len(ranges) != 3 || !strings.HasPrefix(ranges[1], `bytes=40000-99999 "`) || !strings.HasPrefix(ranges[2], `bytes=80000-99999 "`) {
		t.Errorf("got requests %q, want one from each cut on, on the condition that the object is the same", ranges)
	}
}

func TestAReaderRefusesToGoOnWithAnotherBlob(t *testing.T) {
	for _, conditions := range []bool{true, false} { // gofakes3 knows none
		replaced := make(chan struct{})
		cutting := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/k") {
				pass.ServeHTTP(w, r)
				return
			}
			if r.Header.Get("If-Match") != "" {
				<-replaced
				if conditions {
					refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
					return
				}
			}
			pass.ServeHTTP(&cut{w, 40_000}, r)
		})
		s := open(t, fresh(cutting), Options{})
		s.patience = quick
		put := func(n int) {
			if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(n, 100_000))); err != nil {
				t.Fatal(err)
			}
		}
		put(1)
		r, _, err := s.Get(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		put(2)
		close(replaced)
		got, err := io.ReadAll(r)
		if !errors.Is(err, bijou.Conflict) || !bytes.HasPrefix(content(1, 100_000), got) {
			t.Errorf("conditions known to the server: %v: got %d bytes and %v, want a beginning of the first blob and a conflict", conditions, len(got), err)
		}
	}
}

func TestBytesThatChangedAreCorrupt(t *testing.T) {
	checkFlips(t, serve(t), []int{1, 1000, 100_000}, Options{})
}

// checkFlips stores blobs of the sizes and reads them over a proxy that changes a bit.
func checkFlips(t *testing.T, server string, sizes []int, o Options) {
	flip := false
	flipping := between(t, server, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if !flip || r.Method != http.MethodGet {
			pass.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		b := answer.Body.Bytes()
		b[len(b)/2] ^= 4
		_, _ = w.Write(b)
	})
	s := open(t, fresh(flipping), o)
	for _, n := range sizes {
		flip = false
		if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(n, n))); err != nil {
			t.Fatal(err)
		}
		if got, err := wholeBlob(s, "k"); err != nil || !bytes.Equal(got, content(n, n)) {
			t.Errorf("%d bytes as they were put: got %d (%v)", n, len(got), err)
		}
		flip = true
		got, err := wholeBlob(s, "k")
		if !errors.Is(err, bijou.Corrupt) || len(got) == n {
			t.Errorf("a bit of %d bytes changed: got %d bytes and %v, want fewer and corrupt", n, len(got), err)
		}
	}
}

// unfinished returns how many uploads the server keeps the parts of.
func unfinished(t *testing.T, s *Store) int {
	t.Helper()
	c, err := s.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &s.at.bucket, Prefix: &s.at.prefix})
	if errors.Is(s.failure("list", err), bijou.NotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

func wantNothing(t *testing.T, s *Store) {
	t.Helper()
	if bs, err := s.List(t.Context(), "", "", 10); err != nil || len(bs) > 0 {
		t.Errorf("list: got %v (%v), want nothing", bs, err)
	}
	if n := unfinished(t, s); n > 0 {
		t.Errorf("%d unfinished uploads are kept, want none", n)
	}
}

func TestAPutThatIsInterruptedLeavesNothing(t *testing.T) {
	o := Options{PartBytes: 64 << 10, Parts: 2}
	t.Run("by its reader", func(t *testing.T) {
		s, own := open(t, fresh(serve(t)), o), errors.New("the sender hung up")
		if _, err := s.Put(t.Context(), "k", io.MultiReader(bytes.NewReader(content(1, 500_000)), failing{own})); !errors.Is(err, own) {
			t.Errorf("got %v, want %v", err, own)
		}
		wantNothing(t, s)
	})
	t.Run("by its caller", func(t *testing.T) {
		s := open(t, fresh(serve(t)), o)
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := s.Put(ctx, "k", io.MultiReader(bytes.NewReader(content(1, 500_000)), calling(cancel), bytes.NewReader(content(2, 500_000)))); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		wantNothing(t, s)
	})
	t.Run("by the server", func(t *testing.T) {
		broken := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.URL.Query().Get("partNumber") == "4" {
				refuse(w, 500, "InternalError")
				return
			}
			pass.ServeHTTP(w, r)
		})
		s := open(t, fresh(broken), o)
		s.patience = quick
		if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(1, 500_000))); !errors.Is(err, bijou.Unavailable) {
			t.Errorf("got %v, want one of kind %q", err, bijou.Unavailable)
		}
		wantNothing(t, s)
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type calling func()

func (f calling) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestAnUploadWhoseLastAnswerIsLostCounts(t *testing.T) {
	lost := 0
	losing := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && lost == 0 {
			lost++
			pass.ServeHTTP(httptest.NewRecorder(), r)
			reset(w)
			return
		}
		pass.ServeHTTP(w, r)
	})
	s := open(t, fresh(losing), Options{PartBytes: 64 << 10})
	s.patience = quick
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(1, 500_000))); err != nil || lost != 1 {
		t.Fatalf("put: %v, with %d answers lost", err, lost)
	}
	if got, err := wholeBlob(s, "k"); err != nil || !bytes.Equal(got, content(1, 500_000)) {
		t.Errorf("got %d other bytes (%v)", len(got), err)
	}
}

func TestAnUploadThatSomebodyTakesBackIsToBeStoredAgain(t *testing.T) {
	taking := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.URL.Query().Get("partNumber") == "3" {
			refuse(w, 404, "NoSuchUpload")
			return
		}
		pass.ServeHTTP(w, r)
	})
	s := open(t, fresh(taking), Options{PartBytes: 64 << 10})
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(1, 500_000))); !errors.Is(err, bijou.Unavailable) || errors.Is(err, bijou.NotFound) {
		t.Errorf("got %v, want one of kind %q", err, bijou.Unavailable)
	}
	wantNothing(t, s)
}

func TestUploadsOfTheDeadAreTakenBackWhenTheyAreOld(t *testing.T) {
	address := fresh(serve(t))
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{leftOver - time.Hour, 1}, {leftOver + time.Hour, 0}} {
		s := open(t, address, Options{Now: func() time.Time { return time.Now().Add(c.age) }})
		client, err := s.client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.want == 1 {
			if _, err := client.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: &s.at.bucket, Key: aws.String(s.at.prefix + "dead")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := unfinished(t, s); got != c.want {
			t.Errorf("uploads of the age %s: got %d that are kept, want %d", c.age, got, c.want)
		}
	}
}

func TestAnUploadTakesMemoryForAFewPartsAlone(t *testing.T) {
	o := Options{PartBytes: 64 << 10, Parts: 3}
	var read, arrived atomic.Int64
	slow := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.URL.Query().Has("partNumber") {
			arrived.Add(r.ContentLength)
		}
		pass.ServeHTTP(w, r)
	})
	s, most := open(t, fresh(slow), o), int64(0)
	from := readerFunc(func(p []byte) (int, error) {
		// What has been read and has not arrived is in memory.
		most = max(most, read.Load()-arrived.Load())
		if read.Load() > 100*o.PartBytes {
			return 0, io.EOF
		}
		read.Add(int64(len(p)))
		return len(p), nil
	})
	if _, err := s.Put(t.Context(), "k", from); err != nil {
		t.Fatal(err)
	}
	if most > int64(o.Parts+1)*o.PartBytes {
		t.Errorf("got %d bytes in memory, want at most those of %d parts", most, o.Parts+1)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAServerThatIsAwayIsUnavailableAndNothingElseThenIsLost(t *testing.T) {
	var away atomic.Bool
	server := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if away.Load() {
			reset(w)
			return
		}
		pass.ServeHTTP(w, r)
	})
	s := open(t, fresh(server), Options{})
	s.patience = quick
	away.Store(true)
	if err := s.Check(t.Context()); !errors.Is(err, bijou.Unavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("check: got %v, want one of kind %q", err, bijou.Unavailable)
	}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x")); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("put: got %v, want one of kind %q", err, bijou.Unavailable)
	}
	away.Store(false)
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Errorf("put once it is back: %v", err)
	}
	away.Store(true)
	for what, f := range map[string]func() error{
		"get":    func() error { _, _, err := s.Get(t.Context(), "k", 0, -1); return err },
		"stat":   func() error { _, err := s.Stat(t.Context(), "k"); return err },
		"list":   func() error { _, err := s.List(t.Context(), "", "", 1); return err },
		"delete": func() error { return s.Delete(t.Context(), "k") },
	} {
		if err := f(); !errors.Is(err, bijou.Unavailable) {
			t.Errorf("%s: got %v, want one of kind %q", what, err, bijou.Unavailable)
		}
	}
	away.Store(false)
	if got, err := wholeBlob(s, "k"); err != nil || string(got) != "x" {
		t.Errorf("once it is back: got %q (%v)", got, err)
	}
}

func TestAServerThatHasStoppedInItsTracksIsLeftForAnotherTry(t *testing.T) {
	var requests atomic.Int64
	stuck := make(chan struct{})
	defer close(stuck)
	server := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if requests.Add(1)%2 == 1 {
			select {
			case <-stuck:
			case <-r.Context().Done():
			}
			return
		}
		pass.ServeHTTP(w, r)
	})
	s := open(t, fresh(server), Options{})
	s.patience = patience{try: 200 * time.Millisecond, backoff: time.Millisecond, stall: time.Second}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := wholeBlob(s, "k"); err != nil || string(got) != "x" {
		t.Errorf("got %q (%v), want x", got, err)
	}
}

func TestChecksumsAreWrittenAsS3Does(t *testing.T) {
	// RFC 3720 appendix B.4: 32 bytes of zero.
	if got := *sumText(crc32.Checksum(make([]byte, 32), castagnoli)); got != "ipE2qg==" {
		t.Errorf("got %s, want ipE2qg==", got)
	}
}
