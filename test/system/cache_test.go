package system_test

import (
	"fmt"
	"net/http"
	"testing"

	"bijou/test/harness"
)

// cached returns how often something of the kind was found in the cache of the process, or in the shared one.
func cached(t *testing.T, sv *harness.Service, at, of string) float64 {
	t.Helper()
	n, _ := harness.FindMetric(t, sv.Guest(), fmt.Sprintf("bijou_cache_hits_total{at=%q,of=%q}", at, of)) // absent until the first
	return n
}

// plays starts the title and reads its manifests as players do.
func plays(t *testing.T, sv *harness.Service, title string) {
	t.Helper()
	p := sv.Guest().StartPlay(t, title)
	p.Get(t, p.HLS)
	p.Get(t, p.DASH)
}

// rename gives the title another name, and wants everyone to see it at once.
func rename(t *testing.T, sv *harness.Service, title, name string) {
	t.Helper()
	sv.Operator(t).Call(t, "PATCH", "/api/v1/titles/"+title, map[string]string{"name": name}, http.StatusOK, nil)
	wantNamed(t, sv, title, name)
}

func wantNamed(t *testing.T, sv *harness.Service, title, name string) {
	t.Helper()
	var got harness.Title
	sv.Guest().Call(t, "GET", "/api/v1/titles/"+title, nil, http.StatusOK, &got)
	if got.Name != name {
		t.Errorf("the title is called %q, want %q", got.Name, name)
	}
}

func TestWhatEachStartNeedsComesFromTheCache(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		plays(t, sv, film.ID)
		titles, outlines := cached(t, sv, "process", "title"), cached(t, sv, "process", "outline")
		for range 5 {
			plays(t, sv, film.ID)
		}
		if got := cached(t, sv, "process", "title") - titles; got < 5 {
			t.Errorf("five more starts found the title %v times in the cache", got)
		}
		if got := cached(t, sv, "process", "outline") - outlines; got < 10 {
			t.Errorf("ten more manifests found the film's outline %v times in the cache", got)
		}
		rename(t, sv, film.ID, "another")
		sv.Operator(t).Call(t, "DELETE", "/api/v1/studio/titles/"+film.ID, nil, http.StatusNoContent, nil)
		if a := sv.Guest().Do(t, "POST", "/api/v1/titles/"+film.ID+"/plays", nil); a.Status != http.StatusNotFound {
			t.Errorf("a removed title is started: status %d", a.Status)
		}
	})
}
