package appliance_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/service/appliance"
	"bijou/wire/grant"
)

// dial opens a connection to the appliance's own listener.
func (b *box) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(b.Address(), "http://"), "*", "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say writes a request and reads its answer.
func say(t *testing.T, c net.Conn, r *bufio.Reader, verb, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	text := verb + " " + path + " HTTP/1.1\r\nHost: box.example\r\n"
	for i := 0; i < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(c, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return answerTo(t, r, verb)
}

func answerTo(t *testing.T, r *bufio.Reader, verb string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(verb, "http://box.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestTheFastLaneAnswersAsTheSlowOneDoes(t *testing.T) {
	b := newBox(t)
	base := grant.Base(token(t, nil), "ast_1")
	for _, file := range []string{"v720/1.m4s", "v720/init.mp4", "a-en/init.mp4", "v720/index.m3u8", "t-en/text.vtt"} {
		b.warm(t, base+file)
	}
	c := b.dial(t)
	r := bufio.NewReader(c)
	etag := `"ast_1/v720/1.m4s"`
	for _, q := range []struct {
		verb, file string
		headers    []string
	}{
		{"GET", "v720/1.m4s", nil}, {"HEAD", "v720/1.m4s", nil}, {"GET", "a-en/init.mp4", nil}, {"GET", "v720/index.m3u8", nil}, {"GET", "t-en/text.vtt", nil},
		{"GET", "v720/1.m4s", []string{"Range", "bytes=0-0"}}, {"GET", "v720/1.m4s", []string{"Range", "bytes=99000-"}}, {"GET", "v720/1.m4s", []string{"Range", "bytes=-7"}},
		{"GET", "v720/1.m4s", []string{"Range", "bytes=50000-999999"}}, {"HEAD", "v720/1.m4s", []string{"Range", "bytes=1-2"}}, {"GET", "v720/1.m4s", []string{"If-None-Match", etag}},
		{"GET", "v720/1.m4s?CMCD=br%3D1", nil}, {"GET", "v720/1.m4s", []string{"X-Odd", "1", "Content-Length", "0"}},
	} {
		fast, body := say(t, c, r, q.verb, base+q.file, q.headers...)
		path, _, _ := strings.Cut(q.file, "?")
		slow := b.ask(t, q.verb, base+path, q.headers...)
		what := fmt.Sprint(q)
		if fast.StatusCode != slow.Code || !bytes.Equal(body, slow.Body.Bytes()) {
			t.Errorf("%s: fast %d and %d bytes, slow %d and %d", what, fast.StatusCode, len(body), slow.Code, slow.Body.Len())
		}
		checkCORS(t, what, fast.Header)
		for name := range slow.Header() {
			if got, want := fast.Header.Get(name), slow.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q fast and %q slow", what, name, got, want)
			}
		}
		if at, err := http.ParseTime(fast.Header.Get("Date")); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%s: Date is %q", what, fast.Header.Get("Date"))
		}
	}
	if got := b.counted(t, "bijou_appliance_served_bytes_total"); got < 300_000 {
		t.Errorf("%v bytes counted as served", got)
	}
}

func TestRequestsMayComeInPiecesAndSeveralAtOnce(t *testing.T) {
	b := newBox(t)
	base := grant.Base(token(t, nil), "ast_1")
	c := b.dial(t)
	r := bufio.NewReader(c)
	one := "GET " + base + "v720/1.m4s HTTP/1.1\r\nHost: a\r\n\r\n"
	two := "GET " + base + "v720/init.mp4 HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, piece := range []string{one[:3], one[3:100], one[100:] + two + one[:50], one[50:]} {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range [][]byte{segment, []byte("init"), segment} {
		if resp, body := answerTo(t, r, "GET"); resp.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
			t.Errorf("answer %d: %d with %d bytes, want %d bytes", i, resp.StatusCode, len(body), len(want))
		}
	}
}

func TestWhatIsNotPlainIsAnsweredOnTheSameConnection(t *testing.T) {
	b := newBox(t)
	base := grant.Base(token(t, nil), "ast_1")
	b.warm(t, base+"v720/1.m4s")
	for what, q := range map[string]struct {
		verb, path string
		headers    []string
		status     int
	}{
		"no grant": {"GET", "/g/x/ast_1/v720/1.m4s", nil, 403}, "no file": {"GET", base + "v720/9.m4s", nil, 404}, "another verb": {"DELETE", base + "v720/1.m4s", nil, 405},
		"two ranges": {"GET", base + "v720/1.m4s", []string{"Range", "bytes=0-1,5-6"}, 206}, "beyond the end": {"GET", base + "v720/1.m4s", []string{"Range", "bytes=100000-"}, 416},
		"if-range": {"GET", base + "v720/1.m4s", []string{"Range", "bytes=0-1", "If-Range", `"x"`}, 200}, "alive": {"GET", "/livez", nil, 200},
		"an escape": {"GET", base + "%2e%2e/ast_2/v720/1.m4s", nil, 404},
	} {
		c := b.dial(t)
		r := bufio.NewReader(c)
		if resp, body := say(t, c, r, "GET", base+"v720/1.m4s"); resp.StatusCode != 200 || !bytes.Equal(body, segment) {
			t.Fatalf("%s, before: %d", what, resp.StatusCode)
		}
		if resp, body := say(t, c, r, q.verb, q.path, q.headers...); resp.StatusCode != q.status {
			t.Errorf("%s: %d %.80s, want %d", what, resp.StatusCode, body, q.status)
		}
		if resp, body := say(t, c, r, "GET", base+"v720/1.m4s"); resp.StatusCode != 200 || !bytes.Equal(body, segment) {
			t.Errorf("%s, afterwards: %d with %d bytes", what, resp.StatusCode, len(body))
		}
	}
}

func TestHTTP2IsSpokenInClearText(t *testing.T) {
	b := newBox(t)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(strings.Replace(b.Address(), "*", "127.0.0.1", 1) + grant.Base(token(t, nil), "ast_1") + "v720/1.m4s")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 || !bytes.Equal(body, segment) {
		t.Errorf("%s, %d bytes, %v", resp.Proto, len(body), err)
	}
}

func TestAConnectionThatIsToEndEnds(t *testing.T) {
	b := newBox(t)
	c := b.dial(t)
	r := bufio.NewReader(c)
	if resp, _ := say(t, c, r, "GET", grant.Base(token(t, nil), "ast_1")+"v720/1.m4s", "Connection", "close"); resp.StatusCode != 200 {
		t.Fatalf("%d", resp.StatusCode)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("afterwards: got %v, want the end", err)
	}
}

func TestAPausedApplianceRefusesAndOneThatStopsLetsGoOfIdleConnections(t *testing.T) {
	control := &orders{answer: bijou.ApplianceOrders{State: bijou.ApplianceServing, Keys: [][]byte{publicKey}, EveryMS: 100}}
	b := newBox(t, func(d *appliance.Deps) { d.Control = control })
	path := grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
	c := b.dial(t)
	r := bufio.NewReader(c)
	if resp, _ := say(t, c, r, "GET", path); resp.StatusCode != 200 {
		t.Fatalf("%d", resp.StatusCode)
	}
	control.order(func(o *bijou.ApplianceOrders) { o.State = bijou.AppliancePaused })
	control.reported(t, 2)
	if resp, body := say(t, c, r, "GET", path); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "paused") {
		t.Errorf("paused: %d %s", resp.StatusCode, body)
	}
	idle := b.dial(t)
	b.stop()
	if _, err := io.ReadAll(idle); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("an idle connection of an appliance that stopped: %v", err)
	}
}

func TestRemovedTitlesAndRevokedViewingsAreRefusedWithTheNextReport(t *testing.T) {
	control := &orders{answer: bijou.ApplianceOrders{State: bijou.ApplianceServing, Keys: [][]byte{publicKey}, EveryMS: 100}}
	b := newBox(t, func(d *appliance.Deps) { d.Control = control })
	one := grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
	two := grant.Base(token(t, func(g *bijou.Grant) { g.Asset, g.Session = "ast_2", "ply_2" }), "ast_2") + "v720/1.m4s"
	b.warm(t, one)
	b.warm(t, two)
	control.order(func(o *bijou.ApplianceOrders) {
		o.Gone, o.Revoked = []bijou.AssetID{"ast_2"}, []bijou.Revocation{{Session: "ply_1", Until: now.Add(time.Hour)}}
	})
	control.reported(t, 2)
	refused(t, "a viewing that was taken back", b.ask(t, "GET", one), http.StatusForbidden, "taken back")
	refused(t, "a removed title", b.ask(t, "GET", two), http.StatusForbidden, "was removed")
	other := grant.Base(token(t, func(g *bijou.Grant) { g.Session = "ply_3" }), "ast_1") + "v720/1.m4s"
	if rec := b.ask(t, "GET", other); rec.Code != http.StatusOK {
		t.Errorf("another viewing of the other title: %d %s", rec.Code, rec.Body)
	}
}

func TestAnApplianceWhoseServiceIsAwayServesOnAlsoAfterARestart(t *testing.T) {
	control := &orders{answer: bijou.ApplianceOrders{State: bijou.ApplianceServing, Keys: [][]byte{publicKey}, EveryMS: 100}}
	store := newOrigin(t)
	b := boxOf(t, store, func(d *appliance.Deps) { d.Control, d.Keys = control, nil })
	path := grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
	b.warm(t, path)
	control.reported(t, 2)
	b.stop()
	again := boxOf(t, brokenStore{err: bijou.Unavailable}, func(d *appliance.Deps) { d.Control, d.Keys, d.Dir = &orders{away: true}, nil, b.dir })
	if again.ID() != b.ID() || again.Address() != b.Address() {
		t.Errorf("after a restart it is %s at %s, and was %s at %s", again.ID(), again.Address(), b.ID(), b.Address())
	}
	if rec := again.ask(t, "GET", path); rec.Code != http.StatusOK || !bytes.Equal(rec.Body.Bytes(), segment) {
		t.Errorf("alone: %d %s", rec.Code, rec.Body)
	}
}

func TestTheRestOfATrackIsFetchedAheadSoThatAFilmGoesOnWithoutItsOrigin(t *testing.T) {
	store := &countedStore{BlobStore: newOrigin(t)}
	b := boxOf(t, store)
	base := grant.Base(token(t, nil), "ast_1")
	if rec := b.ask(t, "GET", base+"v720/init.mp4"); rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	store.wait(t, bijou.AssetID("ast_1").Key("v720/1.m4s"))
	b.warm(t, base+"v720/1.m4s")
	store.fail(fmt.Errorf("the service is gone: %w", bijou.Unavailable))
	for file, status := range map[string]int{"v720/1.m4s": 200, "v720/index.m3u8": 200, "v720/init.mp4": 200, "a-en/1.m4s": 503} {
		if rec := b.ask(t, "GET", base+file); rec.Code != status {
			t.Errorf("%s without the origin: %d, want %d", file, rec.Code, status)
		}
	}
}

func TestACertificateThatIsRenewedInItsFilesIsUsed(t *testing.T) {
	files := newCertificate(t, "one.example")
	clock := &clock{now: now}
	b := newBox(t, func(d *appliance.Deps) { d.Config.TLSCert, d.Config.TLSKey, d.Now = files.cert, files.key, clock.Now })
	name := func() string {
		c, err := tls.Dial("tcp", strings.Replace(strings.TrimPrefix(b.Address(), "https://"), "*", "127.0.0.1", 1), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "one.example" {
		t.Errorf("at first: %s", got)
	}
	files.renew(t, "two.example")
	clock.add(time.Minute)
	if got := name(); got != "two.example" {
		t.Errorf("after the renewal: %s", got)
	}
	files.spoil(t)
	clock.add(time.Minute)
	if got := name(); got != "two.example" {
		t.Errorf("with a spoilt file: %s, want the one before", got)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(context.Background(), "GET", strings.Replace(b.Address(), "*", "127.0.0.1", 1)+grant.Base(token(t, nil), "ast_1")+"v720/1.m4s", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.ProtoMajor != 2 || !bytes.Equal(body, segment) {
		t.Errorf("over TLS: %s, %d bytes, %v", resp.Proto, len(body), err)
	}
}
