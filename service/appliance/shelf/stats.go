package shelf

import (
	"sync/atomic"
	"time"
)

// Stats are the shelf's counts since it was opened, and what it holds now.
type Stats struct {
	Held, Filling, Cap, Files int64 // bytes of whole files, bytes that fills have reserved, bytes that both may take, whole files
	Hits, Misses, Collapsed   int64 // requests; those that found a fill in work are misses and collapsed
	Fetched, FetchedBytes     int64 // fetches from a source, and what they brought
	Kept, Passed, Bust, Wrong int64 // fills that ended with a kept file; requests served without keeping the file; fills that failed; those of them whose bytes were not what was expected
	Evicted, Lost             int64 // files thrown out for space; files that somebody took from the directory
	Checked                   int64 // hashes computed because a file was asked for
	Corrupt                   int64 // files on disk that were found not to be what was stored
	Scrubbed, ScrubbedBytes   int64
	LastCorrupt               time.Time // zero where there was none
	Fault                     string    // why files cannot be kept, or empty
}

type counts struct {
	hits, misses, collapsed, fetched, fetchedBytes atomic.Int64
	kept, passed, bust, wrong, evicted, lost       atomic.Int64
	checked, corrupt, scrubbed, scrubbedBytes      atomic.Int64
	lastCorrupt                                    atomic.Int64 // Unix nanoseconds
}

// Stats returns the shelf's counts.
func (s *Shelf) Stats() Stats {
	s.mu.RLock()
	st := Stats{Held: s.held, Filling: s.filling, Cap: s.o.Cap, Files: s.files, Fault: s.fault}
	s.mu.RUnlock()
	n := &s.n
	st.Hits, st.Misses, st.Collapsed = n.hits.Load(), n.misses.Load(), n.collapsed.Load()
	st.Fetched, st.FetchedBytes = n.fetched.Load(), n.fetchedBytes.Load()
	st.Kept, st.Passed, st.Bust, st.Wrong = n.kept.Load(), n.passed.Load(), n.bust.Load(), n.wrong.Load()
	st.Evicted, st.Lost, st.Checked, st.Corrupt = n.evicted.Load(), n.lost.Load(), n.checked.Load(), n.corrupt.Load()
	st.Scrubbed, st.ScrubbedBytes = n.scrubbed.Load(), n.scrubbedBytes.Load()
	if at := n.lastCorrupt.Load(); at != 0 {
		st.LastCorrupt = time.Unix(0, at)
	}
	return st
}
