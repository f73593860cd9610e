package appliance_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/kit/watch"
	"bijou/service/appliance"
	"bijou/wire/grant"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	now = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	key = ed25519.NewKeyFromSeed(make([]byte, 32))
)

// box is an appliance with one asset on its disk.
type box struct {
	*appliance.Service
	dir     string
	log     *logged
	metrics *prometheus.Registry
	stop    func()
}

// segment is what v720/1.m4s holds: 100 kB, each byte its place modulo 251.
var segment = func() []byte {
	b := make([]byte, 100_000)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}()

// assetFiles are the files of each asset, but for its description.
var assetFiles = map[string][]byte{
	"v720/1.m4s": segment, "v720/init.mp4": []byte("init"), "a-en/init.mp4": []byte("sound"), "a-en/1.m4s": []byte("sound"), "v720/index.m3u8": []byte("#EXTM3U\n"),
	"t-en/text.vtt": []byte("WEBVTT\n"), "poster.jpg": []byte("jpeg"), "v720/notes.txt": []byte("x"),
}

func sumOf(name string) string {
	h := sha256.Sum256(assetFiles[name])
	return hex.EncodeToString(h[:])
}

// description is the asset's asset.json.
func description(id bijou.AssetID) []byte {
	media := func(track string) bijou.Media {
		return bijou.Media{
			Name: track, InitBytes: int64(len(assetFiles[track+"/init.mp4"])), InitSHA256: sumOf(track + "/init.mp4"),
			Segments: []bijou.Segment{{Bytes: int64(len(assetFiles[track+"/1.m4s"])), SHA256: sumOf(track + "/1.m4s")}},
		}
	}
	b, err := json.Marshal(bijou.Asset{
		ID: id, Title: "ttl_1", Video: []bijou.VideoTrack{{Media: media("v720")}}, Audio: []bijou.AudioTrack{{Media: media("a-en")}},
		Text: []bijou.TextTrack{{Name: "t-en", Bytes: 7, SHA256: sumOf("t-en/text.vtt")}},
	})
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return b
}

// newOrigin is a store with two assets.
func newOrigin(t *testing.T) *directory.Store {
	t.Helper()
	store, err := directory.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	for _, id := range []bijou.AssetID{"ast_1", "ast_2"} {
		files := maps.Clone(assetFiles)
		files["asset.json"] = description(id)
		for name, b := range files {
			if _, err := store.Put(t.Context(), id.Key(name), bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return store
}

func newBox(t *testing.T, change ...func(*appliance.Deps)) *box {
	t.Helper()
	return boxOf(t, newOrigin(t), change...)
}

// boxOf is an appliance in front of a store, ready to serve.
func boxOf(t *testing.T, store bijou.BlobStore, change ...func(*appliance.Deps)) *box {
	t.Helper()
	b := &box{dir: t.TempDir(), log: new(logged), metrics: prometheus.NewRegistry()}
	d := appliance.Deps{
		Dir: b.dir, Source: appliance.StoreOrigin(store), Keys: [][]byte{key.Public().(ed25519.PublicKey)}, Config: appliance.DefaultConfig(),
		Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(b.log, nil)), Metrics: b.metrics,
	}
	d.Config.Listen = "127.0.0.1:0"
	for _, f := range change {
		f(&d)
	}
	b.Service = appliance.New(d)
	b.stop = b.run(t)
	t.Cleanup(func() { b.stop() })
	return b
}

// run starts the appliance and returns once it is ready.
func (b *box) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Run(ctx, sync.OnceFunc(func() { close(ready) })) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("appliance: %v", err)
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("appliance: %v", err)
		}
	})
}

// logged is a log that several goroutines write to.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// warm reads the file until it is served from disk.
func (b *box) warm(t *testing.T, path string) {
	t.Helper()
	for range 1_000_000 {
		if b.ask(t, "GET", path).Header().Get("Cache-Status") == "bijou; hit" {
			return
		}
		runtime.Gosched()
	}
	t.Fatalf("%s is never served from disk", path)
}

// counted returns the value of a counter or a gauge.
func (b *box) counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("nothing is counted as %s", name)
	return 0
}

// token signs a grant of ast_1 for an hour, changed as the test wants it.
func token(t *testing.T, change func(*bijou.Grant)) string {
	t.Helper()
	g := bijou.Grant{Session: "ply_1", Title: "ttl_1", Asset: "ast_1", Expires: now.Add(time.Hour)}
	if change != nil {
		change(&g)
	}
	text, err := grant.Sign(g, key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ask sends a request from 192.0.2.9 and returns the answer. headers are names and values in turn.
func (b *box) ask(t *testing.T, verb, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(verb, "http://box.example/", nil)
	r.URL.Path, r.URL.RawPath = path, ""
	r.RemoteAddr = "192.0.2.9:4711"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	b.ServeHTTP(rec, r)
	checkCORS(t, verb+" "+path, rec.Header())
	return rec
}

// checkCORS wants what lets a page of another origin read the answer, whatever it is.
func checkCORS(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Timing-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff",
		"Access-Control-Expose-Headers": "Content-Length, Content-Range, Date, Cache-Status",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: header %s is %q, want %q", what, name, got, want)
		}
	}
	if c := h.Values("Set-Cookie"); len(c) > 0 {
		t.Errorf("%s: sets cookies %q", what, c)
	}
}

const forever = "public, max-age=31536000, immutable"

// refused wants a problem (RFC 9457) with the status and the word, that no cache keeps.
func refused(t *testing.T, what string, rec *httptest.ResponseRecorder, status int, word string) {
	t.Helper()
	var p struct {
		Type   string `json:"type"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}
	h := rec.Header()
	err := json.Unmarshal(rec.Body.Bytes(), &p)
	if err != nil || rec.Code != status || p.Status != status || !strings.Contains(p.Detail, word) || p.Type != "about:blank" {
		t.Errorf("%s: answer %d %s (%v), want %d with %q in it", what, rec.Code, rec.Body, err, status, word)
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/problem+json" || h.Get("ETag") != "" {
		t.Errorf("%s: a refusal has headers %v", what, h)
	}
}

func TestEachFileIsServedWithItsMediaTypeForEver(t *testing.T) {
	b := newBox(t)
	base := grant.Base(token(t, nil), "ast_1")
	for file, want := range map[string]string{
		"v720/1.m4s": "video/iso.segment", "v720/init.mp4": "video/mp4", "a-en/init.mp4": "audio/mp4", "a-en/1.m4s": "video/iso.segment",
		"v720/index.m3u8": "application/vnd.apple.mpegurl", "t-en/text.vtt": "text/vtt; charset=utf-8", "poster.jpg": "image/jpeg",
	} {
		rec := b.ask(t, "GET", base+file)
		h := rec.Header()
		if rec.Code != http.StatusOK || h.Get("Content-Type") != want || h.Get("Cache-Control") != forever || h.Get("Accept-Ranges") != "bytes" {
			t.Errorf("GET %s = %d %v, want 200 %s", file, rec.Code, h, want)
		}
		if want := `"ast_1/` + file + `"`; h.Get("ETag") != want {
			t.Errorf("GET %s has ETag %s, want %s: the same under every grant", file, h.Get("ETag"), want)
		}
		if h.Get("Content-Length") != fmt.Sprint(rec.Body.Len()) {
			t.Errorf("GET %s says %s bytes and sends %d", file, h.Get("Content-Length"), rec.Body.Len())
		}
	}
	if rec := b.ask(t, "GET", base+"v720/1.m4s"); !bytes.Equal(rec.Body.Bytes(), segment) {
		t.Errorf("the segment is served as %d other bytes", rec.Body.Len())
	}
	if got := b.counted(t, "bijou_appliance_refused_total"); got != 0 {
		t.Errorf("%v refusals counted, want none", got)
	}
}

func TestHeadTellsOfAFileAndSendsNothing(t *testing.T) {
	b := newBox(t)
	rec := b.ask(t, "HEAD", grant.Base(token(t, nil), "ast_1")+"v720/1.m4s")
	if rec.Code != http.StatusOK || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") != "100000" || rec.Header().Get("Content-Type") != "video/iso.segment" {
		t.Errorf("HEAD = %d %v and %d bytes, want 200, 100000 bytes told and none sent", rec.Code, rec.Header(), rec.Body.Len())
	}
	if got := b.counted(t, "bijou_appliance_served_bytes_total"); got != 0 {
		t.Errorf("%v bytes counted as served, want none", got)
	}
}

func TestRangesAndConditionsAreAnswered(t *testing.T) {
	b := newBox(t)
	path := grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
	etag := `"ast_1/v720/1.m4s"`
	check := func(name string, status int, contentRange string, want []byte, headers ...string) {
		t.Helper()
		rec := b.ask(t, "GET", path, headers...)
		if rec.Code != status || rec.Header().Get("Content-Range") != contentRange || !bytes.Equal(rec.Body.Bytes(), want) {
			t.Errorf("%s: answer %d, range %q, %d bytes; want %d, %q, %d", name, rec.Code, rec.Header().Get("Content-Range"), rec.Body.Len(), status, contentRange, len(want))
		}
		if status < 400 && (rec.Header().Get("Cache-Control") != forever || rec.Header().Get("ETag") != etag) {
			t.Errorf("%s: headers %v", name, rec.Header())
		}
	}
	check("first bytes", 206, "bytes 0-99/100000", segment[:100], "Range", "bytes=0-99")
	check("from the middle on", 206, "bytes 99000-99999/100000", segment[99000:], "Range", "bytes=99000-")
	check("last bytes", 206, "bytes 99990-99999/100000", segment[99990:], "Range", "bytes=-10")
	check("beyond the end", 206, "bytes 50000-99999/100000", segment[50000:], "Range", "bytes=50000-999999")
	check("range of what the client has", 206, "bytes 0-9/100000", segment[:10], "Range", "bytes=0-9", "If-Range", etag)
	check("range of what the client has not", 200, "", segment, "Range", "bytes=0-9", "If-Range", `"other"`)
	check("nothing new", 304, "", nil, "If-None-Match", etag)
	check("nothing new among others", 304, "", nil, "If-None-Match", `"x", `+etag)
	check("something new", 200, "", segment, "If-None-Match", `"x"`)
	check("unit that nobody knows", 200, "", segment, "Range", "seconds=0-9", "If-Range", `"x"`)

	rec := b.ask(t, "GET", path, "Range", "bytes=100000-")
	if rec.Code != http.StatusRequestedRangeNotSatisfiable || rec.Header().Get("Content-Range") != "bytes */100000" || rec.Header().Get("Cache-Control") == forever {
		t.Errorf("range from the end on = %d %v, want 416 that is not kept", rec.Code, rec.Header())
	}
}

func TestAGrantMustHoldHereAndNow(t *testing.T) {
	b := newBox(t)
	check := func(name, word, token string, asset bijou.AssetID) {
		t.Helper()
		before := b.counted(t, "bijou_appliance_refused_total")
		for _, verb := range []string{"GET", "HEAD"} {
			refused(t, name, b.ask(t, verb, grant.Base(token, asset)+"v720/1.m4s"), http.StatusForbidden, word)
		}
		if got := b.counted(t, "bijou_appliance_refused_total") - before; got != 2 {
			t.Errorf("%s: %v refusals counted, want 2", name, got)
		}
	}
	good := token(t, nil)
	check("no token", "", "x", "ast_1")
	check("changed token", "grant refused", "B"+good[1:], "ast_1")
	check("another asset", "another title", good, "ast_2")
	check("ended grant", "expired at 2026-11-23T20:00:00Z", token(t, func(g *bijou.Grant) { g.Expires = now }), "ast_1")
	check("another network", "another network", token(t, func(g *bijou.Grant) { g.Network = netip.MustParsePrefix("198.51.100.0/24") }), "ast_1")

	near := token(t, func(g *bijou.Grant) { g.Network = netip.MustParsePrefix("192.0.2.0/24") })
	if rec := b.ask(t, "GET", grant.Base(near, "ast_1")+"v720/1.m4s"); rec.Code != http.StatusOK {
		t.Errorf("grant for the client's own network = %d %s, want 200", rec.Code, rec.Body)
	}
}

func TestNoAddressLeadsOutOfTheAssetsFolder(t *testing.T) {
	b := newBox(t)
	if err := os.WriteFile(filepath.Join(b.dir, "files", "secret.mp4"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := grant.Base(token(t, nil), "ast_1")
	for _, file := range []string{
		"../ast_2/v720/1.m4s", "v720/../../ast_2/v720/1.m4s", "../../secret.mp4", "v720/../v720/1.m4s", "./v720/1.m4s", "v720//1.m4s", "/v720/1.m4s",
		"%2e%2e/ast_2/v720/1.m4s", `..\..\secret.mp4`, "v720/1.m4s\x00", "v720/1.m4s/", "v720", "", "v720/.1.m4s", "v720/1.M4S",
		"asset.json", "v720/notes.txt", "v720/none", strings.Repeat("a", 600) + ".m4s", strings.Repeat("a", 300) + ".m4s", strings.Repeat("a", bijou.MaxKey-8) + ".m4s",
	} {
		refused(t, file, b.ask(t, "GET", base+file), http.StatusNotFound, "no file has this address")
	}
	for _, path := range []string{"/g/", "/g/x", "/", "/h/x/ast_1/v720/1.m4s"} {
		refused(t, path, b.ask(t, "GET", path), http.StatusNotFound, "no file has this address")
	}
	if got := b.counted(t, "bijou_appliance_served_bytes_total"); got != 0 {
		t.Errorf("%v bytes were served", got)
	}
}

func TestAFileThatIsNotHereIsSaidSo(t *testing.T) {
	b := newBox(t)
	base := grant.Base(token(t, nil), "ast_1")
	for _, file := range []string{"v720/2.m4s", "v1080/1.m4s", "v720/1.m4s/2.m4s"} {
		refused(t, file, b.ask(t, "GET", base+file), http.StatusNotFound, "does not have the file")
	}
	if b.log.String() != "" {
		t.Errorf("a file that is not there is logged: %s", b.log)
	}
}

func TestFilesAreReadWithGetOrHeadAlone(t *testing.T) {
	b := newBox(t)
	for _, verb := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		rec := b.ask(t, verb, grant.Base(token(t, nil), "ast_1")+"v720/1.m4s")
		refused(t, verb, rec, http.StatusMethodNotAllowed, "GET or HEAD")
		if got := rec.Header().Get("Allow"); got != "GET, HEAD" {
			t.Errorf("%s: Allow is %q", verb, got)
		}
	}
}

// brokenStore fails.
type brokenStore struct {
	bijou.BlobStore
	err error
}

// Get implements bijou.BlobStore.
func (s brokenStore) Get(context.Context, string, int64, int64) (io.ReadCloser, bijou.Blob, error) {
	return nil, bijou.Blob{}, s.err
}

func TestAFileThatCannotBeReadIsRefusedWithoutTheReasonAndLogged(t *testing.T) {
	b := boxOf(t, brokenStore{err: fmt.Errorf("disk sdb is broken: %w", bijou.Unavailable)})
	rec := b.ask(t, "GET", grant.Base(token(t, nil), "ast_1")+"v720/1.m4s")
	refused(t, "broken store", rec, http.StatusServiceUnavailable, "cannot be had at the moment")
	if strings.Contains(rec.Body.String(), "sdb") || !strings.Contains(b.log.String(), "ast_1/v720/1.m4s") {
		t.Errorf("the viewer is told %s, and the log says %q", rec.Body, b.log)
	}
}

func TestWhoHasGoneIsNotLogged(t *testing.T) {
	b := boxOf(t, brokenStore{err: context.Canceled})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", grant.Base(token(t, nil), "ast_1")+"v720/1.m4s", nil)
	b.ServeHTTP(httptest.NewRecorder(), r)
	if b.log.String() != "" {
		t.Errorf("a client that went is logged: %s", b.log)
	}
}

// sendfileWriter is a connection that can send files by itself, as net/http's over TCP.
type sendfileWriter struct {
	*httptest.ResponseRecorder
	files  []string
	writes int
}

// ReadFrom implements io.ReaderFrom.
func (w *sendfileWriter) ReadFrom(r io.Reader) (int64, error) {
	// io.CopyN limits the file; net/http looks through the limit, and no further.
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("not a limited reader")
	}
	if f, ok := limited.R.(*os.File); ok {
		w.files = append(w.files, filepath.Base(f.Name()))
	}
	return io.Copy(w.Body, r)
}

// Write implements io.Writer.
func (w *sendfileWriter) Write(b []byte) (int, error) {
	w.writes++
	return w.ResponseRecorder.Write(b)
}

func TestFilesGoFromDiskToNetworkByTheKernel(t *testing.T) {
	b := newBox(t)
	b.warm(t, grant.Base(token(t, nil), "ast_1")+"v720/1.m4s")
	for _, headers := range []string{"", "bytes=100-999"} {
		r := httptest.NewRequest("GET", grant.Base(token(t, nil), "ast_1")+"v720/1.m4s", nil)
		want := segment
		if headers != "" {
			r.Header.Set("Range", headers)
			want = segment[100:1000]
		}
		w := &sendfileWriter{ResponseRecorder: httptest.NewRecorder()}
		before := b.counted(t, "bijou_appliance_served_bytes_total")
		b.ServeHTTP(watch.Record(w), r) // the process puts a recorder before every room
		if len(w.files) != 1 || w.files[0] != "1.m4s" || w.writes != 0 || !bytes.Equal(w.Body.Bytes(), want) {
			t.Errorf("range %q: %d bytes in %d writes and files %q; want the file handed over whole", headers, w.Body.Len(), w.writes, w.files)
		}
		if got := b.counted(t, "bijou_appliance_served_bytes_total") - before; got != float64(len(want)) {
			t.Errorf("range %q: %v bytes counted as served, want %d", headers, got, len(want))
		}
	}
}

func TestAPlayerReadsSegmentsOverTheNetwork(t *testing.T) {
	b := newBox(t)
	server := httptest.NewServer(b)
	defer server.Close()
	near := token(t, func(g *bijou.Grant) { g.Network = netip.MustParsePrefix("127.0.0.0/8") })
	resp, err := http.Get(server.URL + grant.Base(near, "ast_1") + "v720/1.m4s?CMCD=bl%3D4000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, segment) {
		t.Errorf("GET = %s, %d bytes, %v", resp.Status, len(got), err)
	}
}

// What a player tells of itself (CTA-5004) is no part of what a file is called: one copy serves all that is told.
func TestACopyServesWhateverPlayersTellOfThemselves(t *testing.T) {
	store := &countedStore{BlobStore: newOrigin(t)}
	b := boxOf(t, store)
	server := httptest.NewServer(b)
	defer server.Close()
	path := server.URL + grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
	for i, told := range []string{"?CMCD=bl%3D4000%2Csid%3D%22ply_1%22", "?CMCD=su", "?a=b&CMCD=bs", "", "?CMCD"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", path+told, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("CMCD-Session", fmt.Sprintf("sid=%q", fmt.Sprint("ply_", i)))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, segment) {
			t.Errorf("told %q: %s, %d bytes, %v", told, resp.Status, len(got), err)
		}
		store.fail(fmt.Errorf("the origin is away: %w", bijou.Unavailable)) // from now on only the copy can serve
	}
}
