package steering

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTheManifestHasTheNamesThatPlayersLookFor(t *testing.T) {
	got, err := Print(Manifest{TTL: 10 * time.Second, Reload: "/s?x=1", Pathways: []string{"apl_1", "apl_2"}})
	want := `{"VERSION":1,"TTL":10,"RELOAD-URI":"/s?x=1","PATHWAY-PRIORITY":["apl_1","apl_2"]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for what, m := range map[string]Manifest{"no pathway": {TTL: time.Second}, "no time": {Pathways: []string{"a"}}} {
		if _, err := Print(m); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: got %v, want Invalid", what, err)
		}
	}
}

func TestWhatIsPrintedIsReadBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := Manifest{
			TTL:      time.Duration(rapid.Int64Range(1, 1<<30).Draw(r, "ttl")) * time.Second,
			Reload:   rapid.String().Draw(r, "reload"),
			Pathways: rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9_.-]{1,20}`), 1, 8, rapid.ID).Draw(r, "pathways"),
		}
		raw, err := Print(m)
		if err != nil {
			r.Fatal(err)
		}
		got, err := Parse(raw)
		if err != nil {
			r.Fatalf("%s: %v", raw, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			r.Errorf("(-printed +read):\n%s", diff)
		}
	})
}

func TestOldAndNewManifestsAreReadAndOthersRefused(t *testing.T) {
	for text, want := range map[string]Manifest{
		`{"VERSION":1,"PATHWAY-PRIORITY":["a"]}`:                                                 {TTL: DefaultTTL, Pathways: []string{"a"}},
		`{"VERSION":1,"TTL":5,"SERVICE-LOCATION-PRIORITY":["a","b","a"]}`:                        {TTL: 5 * time.Second, Pathways: []string{"a", "b"}},
		`{"VERSION":1,"TTL":-5,"PATHWAY-PRIORITY":["a",""],"PATHWAY-CLONES":[{"ID":"c"}],"x":1}`: {TTL: DefaultTTL, Pathways: []string{"a"}},
	} {
		got, err := Parse([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for text, kind := range map[string]bijou.Kind{
		``: bijou.Invalid, `[]`: bijou.Invalid, `{"VERSION":1}`: bijou.Invalid, `{"VERSION":1,"PATHWAY-PRIORITY":[]}`: bijou.Invalid,
		`{"VERSION":2,"PATHWAY-PRIORITY":["a"]}`: bijou.Unsupported, `{"PATHWAY-PRIORITY":["a"]}`: bijou.Unsupported,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, kind) {
			t.Errorf("%s: got %v, want %s", text, err, kind)
		}
	}
}

func TestWhatPlayersTellOfThemselvesIsRead(t *testing.T) {
	for query, want := range map[string]Query{
		"_HLS_pathway=%22apl_1%22&_HLS_throughput=5000000":         {"apl_1", 5_000_000},
		"_DASH_pathway=%22apl_2,apl_1%22&_DASH_throughput=400,300": {"apl_2", 400},
		"_HLS_pathway=apl_1":                           {"apl_1", 0},
		"_HLS_throughput=-4&_DASH_pathway=":            {},
		"_HLS_throughput=99999999999999999999&other=1": {},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseQuery(q); got != want {
			t.Errorf("%s: got %+v, want %+v", query, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"VERSION":1,"TTL":300,"RELOAD-URI":"x","PATHWAY-PRIORITY":["a","b"]}`))
	f.Add([]byte(`{"VERSION":1,"SERVICE-LOCATION-PRIORITY":["a"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			if bijou.KindOf(err) == "" {
				t.Errorf("%q: %v has no kind", raw, err)
			}
			return
		}
		if _, err := Print(m); err != nil {
			t.Errorf("%q is read as %+v, which cannot be printed: %v", raw, m, err)
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	f.Add(`_HLS_pathway="a"&_HLS_throughput=1`)
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if got := ParseQuery(q); got.Throughput < 0 || len(got.Pathway) > 200 {
			t.Errorf("%q: got %+v", query, got)
		}
	})
}
