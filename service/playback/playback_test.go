package playback_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"bijou"
	"bijou/engine/memory"
	"bijou/kit/rpc"
	"bijou/service/playback"
	"bijou/wire/grant"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/Eyevinn/hls-m3u8/m3u8"
)

var (
	begin  = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	key    = ed25519.NewKeyFromSeed(make([]byte, 32))
	keys   = grant.NewKeys(key.Public().(ed25519.PublicKey))
	member = bijou.Caller{Account: "acc_1", Profile: "prf_1"}
)

// world is what the room stands in.
type world struct {
	titles    map[bijou.TitleID]bijou.Title
	positions map[bijou.TitleID]bijou.Position
	blobs     map[string][]byte
	reads     int // of blobs
	now       time.Time
	fail      error // of everything that the room asks
	places    []bijou.Place
	viewing   bijou.Viewing // that was asked about last
	revoked   []bijou.Revocation
	cache     *cache
}

// Steer implements bijou.Steering.
func (w *world) Steer(_ context.Context, v bijou.Viewing) (bijou.Decision, error) {
	w.viewing = v
	return bijou.Decision{Viewing: v, Places: w.places}, w.fail
}

// Revoke implements bijou.RevocationStore.
func (w *world) Revoke(_ context.Context, r bijou.Revocation) error {
	w.revoked = append(w.revoked, r)
	return w.fail
}

// Revoked implements bijou.RevocationStore.
func (w *world) Revoked(_ context.Context, id bijou.SessionID, now time.Time) (bool, error) {
	return slices.ContainsFunc(w.revoked, func(r bijou.Revocation) bool { return r.Session == id && r.Until.After(now) }), nil
}

// Revocations implements bijou.RevocationStore.
func (w *world) Revocations(context.Context, time.Time) ([]bijou.Revocation, error) {
	return w.revoked, nil
}

// ring is one key.
type ring struct{}

func (ring) Signing(time.Time) ed25519.PrivateKey { return key }

func (ring) InUse(time.Time) [][]byte { return [][]byte{key.Public().(ed25519.PublicKey)} }

func (ring) Rotate(time.Time, time.Duration, time.Duration) error { return nil }

// PublishedTitle implements bijou.Titles.
func (w *world) PublishedTitle(_ context.Context, id bijou.TitleID) (bijou.Title, error) {
	t, ok := w.titles[id]
	if !ok || t.State != bijou.Published {
		return bijou.Title{}, fmt.Errorf("no title %s: %w", id, bijou.NotFound)
	}
	return t, w.fail
}

// LastPosition implements bijou.Positions.
func (w *world) LastPosition(_ context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	p, ok := w.positions[title]
	if !ok || profile != member.Profile {
		return bijou.Position{}, fmt.Errorf("not begun: %w", bijou.NotFound)
	}
	return p, w.fail
}

// blobs answers Get alone; the room asks nothing else.
type blobs struct {
	bijou.BlobStore
	w *world
}

// Get implements bijou.BlobStore.
func (b blobs) Get(_ context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	b.w.reads++
	if b.w.fail != nil {
		return nil, bijou.Blob{}, b.w.fail
	}
	raw, ok := b.w.blobs[key]
	if !ok || offset != 0 || length >= 0 {
		return nil, bijou.Blob{}, fmt.Errorf("no blob %s: %w", key, bijou.NotFound)
	}
	if raw == nil {
		return io.NopCloser(iotest.ErrReader(errors.New("the disk is gone"))), bijou.Blob{}, nil
	}
	return io.NopCloser(bytes.NewReader(raw)), bijou.Blob{}, nil
}

// newRoom returns the room with one film in it, whose asset is kept.
func newRoom(t *testing.T, change func(*playback.Config)) (*playback.Service, *world) {
	t.Helper()
	c := playback.DefaultConfig()
	if change != nil {
		change(&c)
	}
	w := &world{
		titles: map[bijou.TitleID]bijou.Title{
			"ttl_film":   {ID: "ttl_film", Kind: bijou.Film, Name: "Film", State: bijou.Published, Asset: "ast_1", RuntimeMS: 100_000},
			"ttl_series": {ID: "ttl_series", Kind: bijou.Series, Name: "Series", State: bijou.Published},
			"ttl_empty":  {ID: "ttl_empty", Kind: bijou.Film, Name: "Empty", State: bijou.Published},
			"ttl_draft":  {ID: "ttl_draft", Kind: bijou.Film, Name: "Draft", State: bijou.Draft, Asset: "ast_1"},
		},
		positions: map[bijou.TitleID]bijou.Position{}, blobs: map[string][]byte{}, now: begin,
		places: []bijou.Place{{Appliance: "apl_one", Address: "http://*:8081"}, {Appliance: "apl_two", Address: "https://far.example.org"}},
	}
	w.cache = &cache{CacheStore: memory.New(1 << 20)}
	w.keep(t, "ast_1", asset("ast_1"))
	return playback.New(playback.Deps{
		Titles: w, Positions: w, Steering: w, Revocations: w, Blobs: blobs{w: w}, Cache: w.cache, Keys: ring{}, Collector: "/api/v1/cmcd", Now: func() time.Time { return w.now }, Config: c,
	}), w
}

func (w *world) keep(t *testing.T, id bijou.AssetID, a bijou.Asset) {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	w.blobs[id.Key(bijou.AssetFile)] = b
}

func asset(id bijou.AssetID) bijou.Asset {
	segments := []bijou.Segment{{Ticks: 96000}, {Ticks: 48000}}
	return bijou.Asset{
		ID: id, Title: "ttl_film", RuntimeMS: 6000,
		Video: []bijou.VideoTrack{{
			Media: bijou.Media{Name: "v720", Codec: "avc1.64001f", Timescale: 24000, PeakBPS: 2_000_000, AverageBPS: 1_000_000, Segments: segments},
			Width: 1280, Height: 720, RateNum: 24, RateDen: 1, FirstKey: true,
		}},
	}
}

func as(c bijou.Caller) context.Context { return bijou.WithCaller(context.Background(), c) }

// mustStart starts the film as a member.
func mustStart(t *testing.T, s *playback.Service) bijou.Play {
	t.Helper()
	play, err := s.Start(as(member), playback.StartPlay{Title: "ttl_film"})
	if err != nil {
		t.Fatalf("Start = %v", err)
	}
	return play
}

func TestAStartGrantsTheTitlesAssetForTheConfiguredTime(t *testing.T) {
	s, w := newRoom(t, func(c *playback.Config) { c.GrantTerm = 90 * time.Minute })
	w.now = begin.Add(300 * time.Millisecond)
	play := mustStart(t, s)
	g, err := grant.Open(play.Grant, keys)
	if err != nil {
		t.Fatalf("Open(%q) = %v", play.Grant, err)
	}
	want := bijou.Grant{Session: play.Session, Title: "ttl_film", Asset: "ast_1", Expires: begin.Add(90 * time.Minute)}
	if g != want || play.Expires != want.Expires || play.Title != want.Title || play.Asset != want.Asset || play.RuntimeMS != 100_000 {
		t.Errorf("Start = %+v\nwith grant %+v, want %+v", play, g, want)
	}
	if play.Collector != "/api/v1/cmcd" {
		t.Errorf("players in event mode are sent to %q", play.Collector)
	}
	if err := bijou.CheckID(play.Session, bijou.SessionPrefix); err != nil {
		t.Errorf("session: %v", err)
	}
	if base := "/api/v1/plays/" + play.Grant; play.HLS != base+"/master.m3u8" || play.DASH != base+"/manifest.mpd" {
		t.Errorf("manifests are at %q and %q, want them below %q", play.HLS, play.DASH, base)
	}
	if again := mustStart(t, s); again.Session == play.Session {
		t.Errorf("two starts are one viewing, %s", play.Session)
	}
}

func TestWhatCannotBePlayedIsRefusedWithItsKind(t *testing.T) {
	s, w := newRoom(t, nil)
	check := func(title bijou.TitleID, kind bijou.Kind, word string) {
		t.Helper()
		if play, err := s.Start(as(member), playback.StartPlay{Title: title}); !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), word) || play != (bijou.Play{}) {
			t.Errorf("Start(%s) = %+v, %v; want %s with %q in it", title, play, err, kind, word)
		}
	}
	check("ttl_unknown", bijou.NotFound, "ttl_unknown")
	check("ttl_draft", bijou.NotFound, "ttl_draft")
	check("ttl_series", bijou.Unsupported, `"Series" is a series`)
	check("ttl_empty", bijou.Unavailable, `"Empty" has no film yet`)
	w.fail = fmt.Errorf("members do not answer: %w", bijou.Unavailable)
	check("ttl_film", bijou.Unavailable, "members")
}

func TestGuestsPlayWhereTheConfigurationSaysSo(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		s, _ := newRoom(t, func(c *playback.Config) { c.Guests = allowed })
		play, err := s.Start(as(bijou.Caller{}), playback.StartPlay{Title: "ttl_film"})
		if allowed && (err != nil || play.PositionMS != 0) || !allowed && !errors.Is(err, bijou.Denied) {
			t.Errorf("guests allowed %v: Start as guest = %+v, %v", allowed, play, err)
		}
		play = mustStart(t, s)
		if _, err := s.Renew(as(bijou.Caller{}), playback.Renewal{Grant: play.Grant}); (err == nil) != allowed || err != nil && !errors.Is(err, bijou.Denied) {
			t.Errorf("guests allowed %v: Renew as guest = %v", allowed, err)
		}
		if _, err := s.Start(as(bijou.LocalCaller), playback.StartPlay{Title: "ttl_film"}); err != nil {
			t.Errorf("guests allowed %v: Start as operator = %v", allowed, err)
		}
	}
}

func TestAMemberGoesOnWhereTheyStoppedAndBeginsAFinishedTitleAnew(t *testing.T) {
	s, w := newRoom(t, nil)
	check := func(name string, p bijou.Position, want int64) {
		t.Helper()
		w.positions["ttl_film"] = p
		if play := mustStart(t, s); play.PositionMS != want {
			t.Errorf("%s: begins at %d ms, want %d", name, play.PositionMS, want)
		}
	}
	check("in the middle", bijou.Position{PositionMS: 42_000, RuntimeMS: 100_000}, 42_000)
	check("before the credits", bijou.Position{PositionMS: 94_000, RuntimeMS: 100_000}, 94_000)
	check("in the credits", bijou.Position{PositionMS: 95_000, RuntimeMS: 100_000}, 0)
	check("at the end", bijou.Position{PositionMS: 100_000, RuntimeMS: 100_000}, 0)
	check("at the end, of a runtime that nobody told", bijou.Position{PositionMS: 99_900}, 0)
	check("beyond the end of a shorter cut", bijou.Position{PositionMS: 150_000, RuntimeMS: 200_000}, 0)
	delete(w.positions, "ttl_film")
	if play := mustStart(t, s); play.PositionMS != 0 {
		t.Errorf("a new title begins at %d ms", play.PositionMS)
	}
}

func TestARenewalGoesOnWithTheSameViewing(t *testing.T) {
	s, w := newRoom(t, nil)
	play := mustStart(t, s)
	for _, after := range []time.Duration{0, 4 * time.Hour, 12 * time.Hour, 4*time.Hour + 7*24*time.Hour} {
		w.now = begin.Add(after)
		got, err := s.Renew(as(member), playback.Renewal{Grant: play.Grant})
		if err != nil {
			t.Errorf("Renew %s after the start = %v", after, err)
			continue
		}
		g, err := grant.Open(got.Grant, keys)
		want := bijou.Grant{Session: play.Session, Title: play.Title, Asset: play.Asset, Expires: w.now.Add(4 * time.Hour)}
		if err != nil || g != want || got.Session != play.Session || got.Expires != want.Expires || !strings.Contains(got.HLS, got.Grant) {
			t.Errorf("Renew %s after the start = %+v with grant %+v, %v; want %+v", after, got, g, err, want)
		}
	}
}

func TestARenewalIsRefusedWhereTheViewingCannotGoOn(t *testing.T) {
	s, w := newRoom(t, nil)
	token := mustStart(t, s).Grant
	check := func(name, token string, kind bijou.Kind) {
		t.Helper()
		if play, err := s.Renew(as(member), playback.Renewal{Grant: token}); !errors.Is(err, kind) || play != (bijou.Play{}) {
			t.Errorf("%s: Renew = %+v, %v; want %s", name, play, err, kind)
		}
	}
	check("no grant", "", bijou.Denied)
	check("changed grant", token[:20]+"x"+token[21:], bijou.Denied)
	forged, err := grant.Sign(bijou.Grant{Session: "ply_1", Title: "ttl_film", Asset: "ast_1", Expires: begin}, ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes")))
	if err != nil {
		t.Fatal(err)
	}
	check("forged grant", forged, bijou.Denied)

	w.now = begin.Add(4*time.Hour + 7*24*time.Hour + time.Second)
	check("ended too long ago", token, bijou.Denied)
	w.now = begin

	title := w.titles["ttl_film"]
	title.Asset = "ast_2"
	w.titles["ttl_film"] = title
	check("replaced film", token, bijou.Conflict)
	delete(w.titles, "ttl_film")
	check("removed title", token, bijou.NotFound)
}

func TestBothManifestsNameTheFilesUnderTheGrant(t *testing.T) {
	s, _ := newRoom(t, nil)
	play := mustStart(t, s)
	base := "http://tv.example:8081/g/" + play.Grant + "/ast_1/"
	viewer := member
	viewer.Host = "tv.example"

	body, err := s.HLS(as(viewer), playback.Manifest{Grant: play.Grant})
	if err != nil || body.ContentType != "application/vnd.apple.mpegurl" || body.CacheControl != "private, no-store" {
		t.Fatalf("HLS = %+v, %v", body, err)
	}
	list, kind, err := m3u8.DecodeFrom(bytes.NewReader(body.Bytes), true)
	if err != nil || kind != m3u8.MASTER {
		t.Fatalf("m3u8 reads %s as %v, %v", body.Bytes, kind, err)
	}
	if got := list.(*m3u8.MasterPlaylist).Variants[0].URI; got != base+"v720/index.m3u8" {
		t.Errorf("the variant is at %q, want it below %q", got, base)
	}

	body, err = s.DASH(as(viewer), playback.Manifest{Grant: play.Grant})
	if err != nil || body.ContentType != "application/dash+xml" || body.CacheControl != "private, no-store" {
		t.Fatalf("DASH = %+v, %v", body, err)
	}
	m, err := mpd.MPDFromBytes(body.Bytes)
	if err != nil || string(m.BaseURL[0].Value) != base {
		t.Errorf("dash-mpd reads %s: %v, want base %q", body.Bytes, err, base)
	}
}

func TestAManifestIsRefusedWithoutAGrantThatHolds(t *testing.T) {
	s, w := newRoom(t, nil)
	token := mustStart(t, s).Grant
	check := func(name, token string, kind bijou.Kind) {
		t.Helper()
		for _, f := range []func(context.Context, playback.Manifest) (rpc.Body, error){s.HLS, s.DASH} {
			if body, err := f(as(member), playback.Manifest{Grant: token}); !errors.Is(err, kind) || body.Bytes != nil {
				t.Errorf("%s: manifest = %s, %v; want %s", name, body.Bytes, err, kind)
			}
		}
	}
	check("no grant", "", bijou.Denied)
	check("changed grant", token[1:], bijou.Denied)
	w.now = begin.Add(4 * time.Hour)
	check("grant that has just ended", token, bijou.Denied)
	w.now = begin.Add(4*time.Hour - time.Second)
	if _, err := s.HLS(as(member), playback.Manifest{Grant: token}); err != nil {
		t.Errorf("a second before the grant's end: HLS = %v", err)
	}
}

func TestADescriptionThatIsGoneOrDamagedIsSaidSo(t *testing.T) {
	id := bijou.AssetID("ast_1")
	check := func(name string, kind bijou.Kind, change func(w *world)) {
		t.Helper()
		s, w := newRoom(t, nil)
		token := mustStart(t, s).Grant
		change(w)
		for range 2 { // what failed is not kept
			if body, err := s.HLS(as(member), playback.Manifest{Grant: token}); !errors.Is(err, kind) {
				t.Errorf("%s: HLS = %s, %v; want %s", name, body.Bytes, err, kind)
			}
		}
	}
	check("gone", bijou.NotFound, func(w *world) { delete(w.blobs, id.Key(bijou.AssetFile)) })
	check("store down", bijou.Unavailable, func(w *world) { w.fail = fmt.Errorf("store: %w", bijou.Unavailable) })
	check("broken off", bijou.Unavailable, func(w *world) { w.blobs[id.Key(bijou.AssetFile)] = nil })
	check("no JSON", bijou.Corrupt, func(w *world) { w.blobs[id.Key(bijou.AssetFile)] = []byte("{") })
	check("more than JSON", bijou.Corrupt, func(w *world) {
		w.blobs[id.Key(bijou.AssetFile)] = append(w.blobs[id.Key(bijou.AssetFile)], "{}"...)
	})
	check("another's", bijou.Corrupt, func(w *world) { w.keep(t, id, asset("ast_2")) })
	check("without video", bijou.Corrupt, func(w *world) { w.keep(t, id, bijou.Asset{ID: id}) })
}

// cache is one that can fail.
type cache struct {
	bijou.CacheStore
	fail error
}

// Recall implements bijou.CacheStore.
func (c *cache) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	if c.fail != nil {
		return make([]bijou.Cached, len(keys)), c.fail
	}
	return c.CacheStore.Recall(ctx, keys...)
}

// Fill implements bijou.CacheStore.
func (c *cache) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (bool, error) {
	if c.fail != nil {
		return false, c.fail
	}
	return c.CacheStore.Fill(ctx, key, ticket, value, ttl)
}

// mustManifest returns the HLS playlist of a viewing of the asset.
func mustManifest(t *testing.T, s *playback.Service, id bijou.AssetID) string {
	t.Helper()
	token, err := grant.Sign(bijou.Grant{Session: "ply_1", Title: "ttl_film", Asset: id, Expires: begin.Add(time.Hour)}, key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.HLS(as(member), playback.Manifest{Grant: token})
	if err != nil {
		t.Fatalf("HLS of %s = %v", id, err)
	}
	return string(body.Bytes)
}

func TestADescriptionIsReadOnceAndItsOutlineIsCached(t *testing.T) {
	s, w := newRoom(t, nil)
	const many = 100
	for range 2 {
		for i := range many {
			id := bijou.AssetID(fmt.Sprintf("ast_m%d", i))
			w.keep(t, id, asset(id))
			mustManifest(t, s, id)
		}
	}
	if w.reads != many {
		t.Errorf("two rounds over %d assets read %d descriptions, want each once", many, w.reads)
	}
}

func TestACacheThatFailsOrHoldsRubbishIsDoneWithout(t *testing.T) {
	s, w := newRoom(t, nil)
	want := mustManifest(t, s, "ast_1")
	w.cache.fail = fmt.Errorf("the cache is away: %w", bijou.Unavailable)
	for range 2 {
		if got := mustManifest(t, s, "ast_1"); got != want {
			t.Errorf("without the cache: got %s, want %s", got, want)
		}
	}
	if w.reads != 3 {
		t.Errorf("%d descriptions were read, want one with the cache and two without", w.reads)
	}
	w.cache.fail = nil
	for i, rubbish := range []string{"", "{", `{"asset":{"id":"ast_other"}}`, `{"asset":{"id":"ast_1","video":[{}]},"video":["/w=="]}`} {
		id := bijou.AssetID(fmt.Sprint("ast_r", i))
		w.keep(t, id, asset(id))
		found, err := w.cache.Recall(t.Context(), "outline/1/"+string(id))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := w.cache.Fill(t.Context(), "outline/1/"+string(id), found[0].Ticket, []byte(strings.ReplaceAll(rubbish, "ast_1", string(id))), time.Hour); !kept || err != nil {
			t.Fatalf("fill: kept %v, %v", kept, err)
		}
		mustManifest(t, s, id)
	}
	if w.reads != 3+4 {
		t.Errorf("%d descriptions were read, want one for each rubbish", w.reads-3)
	}
}

func TestTheConfigurationIsCheckedInWordsThatNameTheKey(t *testing.T) {
	if err := playback.DefaultConfig().Check(); err != nil {
		t.Errorf("default: %v", err)
	}
	for _, term := range []time.Duration{0, -time.Hour, 9 * time.Second, 8 * 24 * time.Hour} {
		if err := (playback.Config{GrantTerm: term}).Check(); !errors.Is(err, bijou.Invalid) || !strings.Contains(fmt.Sprint(err), "grant_term") {
			t.Errorf("grant_term %s: Check = %v, want Invalid", term, err)
		}
	}
}

func TestTheRoomAnswersOverHTTP(t *testing.T) {
	s, w := newRoom(t, func(c *playback.Config) { c.Guests = false })
	h := rpc.Handler(rpc.Deps{}, s.Routes()...)
	do := func(verb, path, body string, c bijou.Caller) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(verb, path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(rpc.CallerHeader, string(b))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	if rec := do("POST", "/api/v1/titles/ttl_film/plays", "", bijou.Caller{}); rec.Code != http.StatusUnauthorized {
		t.Errorf("start as guest = %d %s, want 401", rec.Code, rec.Body)
	}
	rec := do("POST", "/api/v1/titles/ttl_film/plays", "", member)
	var play bijou.Play
	if err := json.Unmarshal(rec.Body.Bytes(), &play); err != nil || rec.Code != http.StatusCreated {
		t.Fatalf("start = %d %s, want 201", rec.Code, rec.Body)
	}
	for path, want := range map[string]string{play.HLS: "application/vnd.apple.mpegurl", play.DASH: "application/dash+xml"} {
		rec := do("GET", path, "", bijou.Caller{})
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != want || rec.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("GET %s = %d %v", path, rec.Code, rec.Header())
		}
	}
	renewal, err := json.Marshal(playback.Renewal{Grant: play.Grant})
	if err != nil {
		t.Fatal(err)
	}
	if rec := do("POST", "/api/v1/plays/renewals", string(renewal), member); rec.Code != http.StatusOK {
		t.Errorf("renew = %d %s, want 200", rec.Code, rec.Body)
	}
	w.now = begin.Add(5 * time.Hour)
	if rec := do("GET", play.HLS, "", member); rec.Code != http.StatusForbidden {
		t.Errorf("manifest under an ended grant = %d %s, want 403", rec.Code, rec.Body)
	}
}
