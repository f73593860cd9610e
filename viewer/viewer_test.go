package viewer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"bijou/wire/cmcd"

	"github.com/google/go-cmp/cmp"
)

// service answers as the service does, and fails as it is told.
type service struct {
	mu       sync.Mutex
	plays    int
	kept     []Fact
	requests int
	fail     func(n int) int // status of the nth request; 0: it is answered
	dead     string          // host of the appliance that does not answer
	told     []cmcd.Data     // by who asks for segments
	boxes    []string
	heads    int // how many of told came in headers
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.fail != nil {
		if status := s.fail(s.requests); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	switch path := r.URL.Path; {
	case path == "/api/v1/titles":
		fmt.Fprint(w, `{"titles":[{"id":"ttl_1","runtime_ms":20000}]}`)
	case path == "/api/v1/titles/ttl_1/plays":
		s.plays++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"session":"ply_%d","title":"ttl_1","hls":"/m/master.m3u8","runtime_ms":20000}`, s.plays)
	case path == "/api/v1/facts":
		var in struct{ Facts []Fact }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.kept = append(s.kept, in.Facts...)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"accepted":%d}`, len(in.Facts))
	case path == "/m/master.m3u8":
		fmt.Fprint(w, "#EXTM3U\n")
		for _, box := range s.boxes {
			fmt.Fprintf(w, "#EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1,mp4a\",PATHWAY-ID=\"%s\"\n/box/%s/index.m3u8\n", box, box)
		}
	case strings.HasSuffix(path, "index.m3u8"):
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\n1.m4s\n#EXTINF:3.5,\n2.m4s\n#EXT-X-ENDLIST\n")
	case s.dead != "" && strings.HasPrefix(path, "/box/"+s.dead+"/"):
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		d, err := cmcd.FromQuery(r.URL.Query())
		h, headErr := cmcd.FromHeaders(r.Header)
		if maps.Copy(d, h); len(h) > 0 {
			s.heads++
		}
		if err != nil || headErr != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.told = append(s.told, d)
		io.WriteString(w, "segment")
	}
}

func start(t *testing.T, s *service) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func TestPlayersReportUntilTheServiceHasEveryFact(t *testing.T) {
	s := &service{fail: func(n int) int { return []int{0, 503, 0, 429, 0, 500, 0}[n%7] }}
	var mu sync.Mutex
	acknowledged := map[string]int{}
	did, err := Run(t.Context(), Config{
		Address: start(t, s), Players: 5, Viewings: 4, Facts: 10, Batch: 4, Seed: 7,
		Acknowledged: func(facts []Fact) {
			mu.Lock()
			defer mu.Unlock()
			for _, f := range facts {
				acknowledged[fmt.Sprint(f.Session, " ", f.Seq)]++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if did.Plays != 20 || did.Facts != int64(len(s.kept)) || len(acknowledged) != len(s.kept) || did.Retries == 0 {
		t.Errorf("did %+v, %d acknowledged, %d kept; want 20 plays, all facts acknowledged once, and some requests sent again", did, len(acknowledged), len(s.kept))
	}
}

func TestARefusalEndsTheRunInTheServicesWords(t *testing.T) {
	s := &service{fail: func(n int) int {
		if n > 5 {
			return http.StatusBadRequest
		}
		return 0
	}}
	_, err := Run(t.Context(), Config{Address: start(t, s), Players: 2, Viewings: 100, Facts: 5, Batch: 5})
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("Run = %v, want the refusal", err)
	}
}

func TestPlayersWithoutAnEndStopWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &service{}
	n := 0
	_, err := Run(ctx, Config{Address: start(t, s), Players: 1, Facts: 5, Batch: 5, Acknowledged: func([]Fact) {
		if n++; n == 3 {
			cancel()
		}
	}})
	if err != nil || n < 3 {
		t.Errorf("Run = %v after %d reports, want its end without failure", err, n)
	}
}

func TestSegmentsAreFetchedFromTheBoxThatAnswersAndSayWhoseTheyAre(t *testing.T) {
	s := &service{boxes: []string{"apl_dead", "apl_good"}, dead: "apl_dead"}
	did, err := Run(t.Context(), Config{Address: start(t, s), Players: 2, Viewings: 1, Facts: 6, Batch: 100, Seed: 1, Fetch: true})
	if err != nil || did.Segments != 10 || s.heads != 5 || did.Bytes != 10*int64(len("segment")) {
		t.Fatalf("Run = %+v, %v, want 10 segments, half of them asked for with headers", did, err)
	}
	for _, f := range s.kept {
		if f.Kind == "start" {
			continue
		}
		if f.Appliance != "apl_good" || f.BPS != 800_000 {
			t.Errorf("fact %+v, want the appliance that answers and its rendition's rate", f)
		}
	}
	first := map[string]bool{}
	for i, d := range s.told {
		sid := d.Text("sid")
		if length, _ := d.Number("d"); sid != "ply_1" && sid != "ply_2" || d.Text("cid") != "ttl_1" || d.Is("su") == first[sid] || length != 4000 && length != 3500 {
			t.Errorf("segment %d is asked for with %v", i, d)
		}
		first[sid] = true
	}
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	tell := func(seed uint64) []Fact {
		return slices.Collect(story(rand.New(rand.NewPCG(seed, 0)), play{Session: "ply_1", Title: "ttl_1", RuntimeMS: 60_000}, 50))
	}
	if diff := cmp.Diff(tell(3), tell(3)); diff != "" {
		t.Errorf("one seed, twice:\n%s", diff)
	}
	failed := 0
	for seed := range uint64(200) {
		facts := tell(seed)
		last := facts[len(facts)-1]
		if last.Kind == "error" {
			failed++
		} else if len(facts) != 50 || facts[1].Kind != "first_frame" || last.Kind != "end" {
			t.Errorf("seed %d: %d facts, of which %s is the second and %s the last", seed, len(facts), facts[1].Kind, last.Kind)
		}
		for i, f := range facts {
			if f.Seq != int64(i+1) || f.PositionMS < 0 || f.PositionMS > 60_000 {
				t.Errorf("seed %d: fact %d is %+v", seed, i, f)
			}
		}
	}
	if failed == 0 || failed > 20 {
		t.Errorf("%d of 200 viewings do not start, want about 4", failed)
	}
}
