package contract

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// CacheStore checks what bijou.CacheStore promises. open returns a store that holds nothing, with room for a few values of the largest size.
func CacheStore(t *testing.T, open func(t *testing.T) bijou.CacheStore) {
	run(t, open, "WhatWasFilledIsRecalled", cacheRoundTrip)
	run(t, open, "ManyKeysAreRecalledInTheirOrder", cacheMany)
	run(t, open, "OneCallerAloneIsToFillAKey", cacheOneTicket)
	run(t, open, "ATicketFillsItsOwnKeyAndOnce", cacheTicketOnce)
	run(t, open, "ASlowFillerDoesNotPutBackWhatWasForgotten", cacheSlowFiller)
	run(t, open, "WhatWasForgottenIsNotRecalled", cacheForget)
	run(t, open, "AValueIsGoneAfterItsTime", cacheTime)
	run(t, open, "WhatNoCacheKeepsIsInvalid", cacheInvalid)
	run(t, open, "AContextThatHasEndedIsNotWaitedFor", cacheEnded)
	run(t, open, "NoReaderSeesWhatWasChangedBefore", cacheTogether)
}

// recall returns what is known of one key.
func recall(t *testing.T, s bijou.CacheStore, key string) bijou.Cached {
	t.Helper()
	found, err := s.Recall(t.Context(), key)
	must(t, "recall "+key, err)
	if len(found) != 1 {
		t.Fatalf("recall one key: got %d answers", len(found))
	}
	return found[0]
}

// ticket returns the ticket of a key that nothing is kept under.
func ticket(t *testing.T, s bijou.CacheStore, key string) bijou.CacheTicket {
	t.Helper()
	c := recall(t, s, key)
	if c.Found || c.Ticket == (bijou.CacheTicket{}) {
		t.Fatalf("recall %s: got %+v, want nothing found, and a ticket", key, c)
	}
	return c.Ticket
}

func fill(t *testing.T, s bijou.CacheStore, key string, by bijou.CacheTicket, value string, want bool) {
	t.Helper()
	kept, err := s.Fill(t.Context(), key, by, []byte(value), time.Hour)
	must(t, "fill "+key, err)
	if kept != want {
		t.Fatalf("fill %s: kept is %v, want %v", key, kept, want)
	}
}

func wantCached(t *testing.T, s bijou.CacheStore, key, want string) {
	t.Helper()
	if c := recall(t, s, key); !c.Found || string(c.Value) != want || c.Ticket != (bijou.CacheTicket{}) {
		t.Fatalf("recall %s: got found %v, %d bytes, ticket %v, want the %d bytes that were filled in", key, c.Found, len(c.Value), c.Ticket, len(want))
	}
}

func cacheRoundTrip(t *testing.T, s bijou.CacheStore) {
	largest := bytes.Repeat([]byte("0123456789abcdef"), bijou.MaxCacheValue/16)
	for key, value := range map[string]string{
		"a": "", "title/ttl_1": `{"name":"x"}`, "binary": "\r\nEN\r\nVA 3\r\n\x00\xff", strings.Repeat("~", bijou.MaxCacheKey): "!", "largest": string(largest),
	} {
		fill(t, s, key, ticket(t, s, key), value, true)
		wantCached(t, s, key, value)
		wantCached(t, s, key, value)
	}
	mine := []byte("before")
	by := ticket(t, s, "own")
	kept, err := s.Fill(t.Context(), "own", by, mine, time.Hour)
	must(t, "fill", err)
	wantSame(t, "kept", kept, true)
	copy(mine, "after!")
	wantCached(t, s, "own", "before")
}

func cacheMany(t *testing.T, s bijou.CacheStore) {
	var keys []string
	for n := range bijou.MaxCacheKeys {
		keys = append(keys, fmt.Sprint("many/", n))
	}
	found, err := s.Recall(t.Context(), keys...)
	must(t, "recall", err)
	for n, c := range found {
		if n%3 == 0 {
			fill(t, s, keys[n], c.Ticket, fmt.Sprint("value ", n), true)
		}
	}
	found, err = s.Recall(t.Context(), append(keys[1:], keys[0])...)
	must(t, "recall", err)
	wantSame(t, "answers", len(found), len(keys))
	for i, c := range found {
		n := (i + 1) % len(keys)
		if c.Found != (n%3 == 0) || c.Found && string(c.Value) != fmt.Sprint("value ", n) {
			t.Fatalf("key %d: got found %v, %q", n, c.Found, c.Value)
		}
	}
	none, err := s.Recall(t.Context())
	must(t, "recall no key", err)
	wantSame(t, "answers for no key", len(none), 0)
	must(t, "forget no key", s.Forget(t.Context()))
}

func cacheOneTicket(t *testing.T, s bijou.CacheStore) {
	var tickets atomic.Int64
	together(16, func(int) {
		found, err := s.Recall(t.Context(), "k")
		if err != nil || found[0].Found {
			t.Errorf("recall: got %+v, %v, want nothing found", found, err)
		} else if found[0].Ticket != (bijou.CacheTicket{}) {
			tickets.Add(1)
		}
	})
	wantSame(t, "tickets for 16 callers", tickets.Load(), 1)
}

func cacheTicketOnce(t *testing.T, s bijou.CacheStore) {
	fill(t, s, "k", bijou.CacheTicket{}, "v", false)
	by, other := ticket(t, s, "k"), ticket(t, s, "other")
	fill(t, s, "k", bijou.CacheTicket{}, "v", false)
	fill(t, s, "k", other, "v", false)
	fill(t, s, "k", by, "v", true)
	fill(t, s, "k", by, "again", false)
	wantCached(t, s, "k", "v")
	fill(t, s, "other", other, "w", true)
}

func cacheSlowFiller(t *testing.T, s bijou.CacheStore) {
	slow := ticket(t, s, "k")
	must(t, "forget", s.Forget(t.Context(), "k"))
	fill(t, s, "k", slow, "old", false)
	quick := ticket(t, s, "k")
	fill(t, s, "k", slow, "old", false)
	fill(t, s, "k", quick, "new", true)
	fill(t, s, "k", slow, "old", false)
	wantCached(t, s, "k", "new")
}

func cacheForget(t *testing.T, s bijou.CacheStore) {
	for _, key := range []string{"a", "b", "c"} {
		fill(t, s, key, ticket(t, s, key), key, true)
	}
	must(t, "forget", s.Forget(t.Context(), "a", "c", "unknown"))
	ticket(t, s, "a")
	wantCached(t, s, "b", "b")
	ticket(t, s, "c")
}

func cacheTime(t *testing.T, s bijou.CacheStore) {
	kept, err := s.Fill(t.Context(), "short", ticket(t, s, "short"), []byte("v"), time.Second)
	must(t, "fill", err)
	wantSame(t, "kept", kept, true)
	fill(t, s, "long", ticket(t, s, "long"), "v", true)
	again, end := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer again.Stop()
	for recall(t, s, "short").Found {
		select {
		case <-again.C:
		case <-end:
			t.Fatal("a value of one second is there after a minute")
		}
	}
	wantCached(t, s, "long", "v")
}

func cacheInvalid(t *testing.T, s bijou.CacheStore) {
	for what, key := range map[string]string{
		"no key": "", "a space": "a b", "a newline": "a\r\nb", "a control character": "a\x00", "another alphabet": "ä", "too long": strings.Repeat("k", bijou.MaxCacheKey+1),
	} {
		_, err := s.Recall(t.Context(), "good", key)
		wantKind(t, "recall "+what, err, bijou.Invalid)
		_, err = s.Fill(t.Context(), key, bijou.CacheTicket{Number: 1}, nil, time.Hour)
		wantKind(t, "fill "+what, err, bijou.Invalid)
		wantKind(t, "forget "+what, s.Forget(t.Context(), "good", key), bijou.Invalid)
	}
	many := make([]string, bijou.MaxCacheKeys+1)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	_, err := s.Recall(t.Context(), many...)
	wantKind(t, "recall too many", err, bijou.Invalid)
	wantKind(t, "forget too many", s.Forget(t.Context(), many...), bijou.Invalid)
	_, err = s.Fill(t.Context(), "k", bijou.CacheTicket{Number: 1}, make([]byte, bijou.MaxCacheValue+1), time.Hour)
	wantKind(t, "fill too much", err, bijou.Invalid)
	for _, ttl := range []time.Duration{-time.Second, 0, time.Second - 1, bijou.MaxCacheTTL + 1} {
		_, err = s.Fill(t.Context(), "k", bijou.CacheTicket{Number: 1}, nil, ttl)
		wantKind(t, "fill for "+ttl.String(), err, bijou.Invalid)
	}
}

func cacheEnded(t *testing.T, s bijou.CacheStore) {
	by := ticket(t, s, "k")
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Recall(ended, "k"); err == nil {
		t.Error("recall: got no error")
	}
	if _, err := s.Fill(ended, "k", by, nil, time.Hour); err == nil {
		t.Error("fill: got no error")
	}
	if err := s.Forget(ended, "k"); err == nil {
		t.Error("forget: got no error")
	}
}

// cacheTogether has a value that only grows behind the cache: whoever changed it forgets it, and whoever misses it reads it and fills it in.
func cacheTogether(t *testing.T, s bijou.CacheStore) {
	const keys, changes = 4, 200
	var behind, forgotten [keys]atomic.Int64
	read := func(k int) {
		key, least := fmt.Sprint("grows/", k), forgotten[k].Load()
		found, err := s.Recall(t.Context(), key)
		if err != nil {
			t.Errorf("recall: %v", err)
			return
		}
		if !found[0].Found {
			if _, err := s.Fill(t.Context(), key, found[0].Ticket, strconv.AppendInt(nil, behind[k].Load(), 10), time.Hour); err != nil {
				t.Errorf("fill: %v", err)
			}
			return
		}
		if got, err := strconv.ParseInt(string(found[0].Value), 10, 64); err != nil || got < least {
			t.Errorf("recalled %q after %d was forgotten for what followed it", found[0].Value, least)
		}
	}
	together(3*keys, func(i int) {
		k := i % keys
		for range changes {
			if i < 2*keys {
				read(k)
				continue
			}
			now := behind[k].Add(1)
			if err := s.Forget(t.Context(), fmt.Sprint("grows/", k)); err != nil {
				t.Errorf("forget: %v", err)
			}
			forgotten[k].Store(now)
			read(k)
		}
	})
}
