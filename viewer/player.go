package viewer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// requestTime is how long a player waits for an answer.
const requestTime = 20 * time.Second

// A player waits so long before it sends a request again, twice as long each time.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// player is one viewer's player.
type player struct {
	Config
	random  *rand.Rand
	client  *http.Client
	headers bool // it tells of itself in headers, not in the address
	did     Result
}

// title is what a player reads of a title.
type title struct {
	ID        string `json:"id"`
	RuntimeMS int64  `json:"runtime_ms"`
}

// play is what a player reads of a viewing.
type play struct {
	Session   string `json:"session"`
	Title     string `json:"title"`
	HLS       string `json:"hls"`
	RuntimeMS int64  `json:"runtime_ms"`
}

// watchAll watches one title after the other.
func (p *player) watchAll(ctx context.Context) error {
	var page struct {
		Titles []title `json:"titles"`
	}
	if err := p.ask(ctx, http.MethodGet, "/api/v1/titles?limit=500", nil, &page); err != nil {
		return err
	}
	if len(page.Titles) == 0 {
		return errors.New("there is no title to watch: add one first")
	}
	for n := 0; n < p.Viewings || p.Viewings == 0; n++ {
		chosen := page.Titles[p.random.IntN(len(page.Titles))]
		var started play
		if err := p.ask(ctx, http.MethodPost, "/api/v1/titles/"+chosen.ID+"/plays", nil, &started); err != nil {
			return err
		}
		p.did.Plays++
		if err := p.watch(ctx, started); err != nil {
			return err
		}
	}
	return nil
}

// watch plays one title and reports it.
func (p *player) watch(ctx context.Context, started play) error {
	var from *film
	if p.Fetch {
		f, err := p.open(ctx, started)
		if err != nil {
			return err
		}
		from = f
	}
	var batch []Fact
	for f := range story(p.random, started, p.Facts) {
		if from != nil {
			if err := from.next(ctx, p, &f); err != nil {
				return err
			}
		}
		if f.PlayedMS > 0 && p.Pace > 0 {
			if err := pause(ctx, p.Pace); err != nil {
				return err
			}
		}
		if batch = append(batch, f); len(batch) == p.Batch {
			if err := p.report(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return p.report(ctx, batch)
}

// report sends facts until the service has said that it has them.
func (p *player) report(ctx context.Context, facts []Fact) error {
	body, err := json.Marshal(map[string]any{"facts": facts})
	if err != nil {
		return err
	}
	var answer struct {
		Accepted int `json:"accepted"`
	}
	if err := p.ask(ctx, http.MethodPost, "/api/v1/facts", body, &answer); err != nil {
		return err
	}
	if answer.Accepted != len(facts) {
		return fmt.Errorf("the service has accepted %d of %d facts and does not say why", answer.Accepted, len(facts))
	}
	p.did.Facts += int64(len(facts))
	if p.Acknowledged != nil {
		p.Acknowledged(facts)
	}
	return nil
}

// ask sends a request, again and again (at moments that follow from no seed) where nobody answers or the answer is to come later, and reads the answer. It fails as the service does
// that says no, and when the context ends.
func (p *player) ask(ctx context.Context, verb, path string, body []byte, into any) error {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		answer, again, err := p.try(ctx, verb, p.Address+path, body, nil)
		if err == nil {
			if err := json.Unmarshal(answer, into); err != nil {
				return fmt.Errorf("%s %s: the answer cannot be read: %w", verb, path, err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !again {
			return err
		}
		p.did.Retries++
		if err := pause(ctx, wait/2+rand.N(wait)); err != nil {
			return err
		}
	}
}

// try sends a request once. Where it fails it says whether the same request may succeed later.
func (p *player) try(ctx context.Context, verb, address string, body []byte, header http.Header) (answer []byte, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, verb, address, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := p.client.Do(r)
	if err != nil {
		return nil, true, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		return nil, true, err
	}
	if res.StatusCode >= 300 {
		again = res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500
		return nil, again, fmt.Errorf("%s %s: %s: %.300s", verb, address, res.Status, answer)
	}
	return answer, false, nil
}

// pause waits, or fails when the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
