package shelf

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is S3-FIFO as the paper tells it, in plain slices. Oldest first.
type model struct {
	room                     int64
	small, main, last, ghost []modelFile
	asked                    map[string]int
}

type modelFile struct {
	name string
	size int64
}

func bytesOf(fs []modelFile) (n int64) {
	for _, f := range fs {
		n += f.size
	}
	return n
}

func (m *model) add(name string, size int64, last bool) {
	m.asked[name] = 0
	was := slices.ContainsFunc(m.ghost, func(f modelFile) bool { return f.name == name })
	f := modelFile{name, size}
	switch {
	case last:
		m.last = append(m.last, f)
	case was:
		m.ghost = slices.DeleteFunc(m.ghost, func(f modelFile) bool { return f.name == name })
		m.main = append(m.main, f)
	default:
		m.small = append(m.small, f)
	}
}

func (m *model) remove(name string) {
	is := func(f modelFile) bool { return f.name == name }
	m.small, m.main, m.last = slices.DeleteFunc(m.small, is), slices.DeleteFunc(m.main, is), slices.DeleteFunc(m.last, is)
}

func (m *model) evict() string {
	for {
		switch {
		case len(m.small) > 0 && (bytesOf(m.small) > m.room/10 || len(m.main) == 0):
			f := m.small[0]
			m.small = m.small[1:]
			if m.asked[f.name] >= 2 {
				m.asked[f.name] = 0
				m.main = append(m.main, f)
				continue
			}
			m.ghost = append(slices.DeleteFunc(m.ghost, func(g modelFile) bool { return g.name == f.name }), f)
			for bytesOf(m.ghost) > m.room {
				m.ghost = m.ghost[1:]
			}
			return f.name
		case len(m.main) > 0:
			f := m.main[0]
			m.main = m.main[1:]
			if m.asked[f.name] > 0 {
				m.asked[f.name]--
				m.main = append(m.main, f)
				continue
			}
			return f.name
		case len(m.last) > 0:
			f := m.last[0]
			m.last = m.last[1:]
			return f.name
		}
		return ""
	}
}

func TestTheQueueThrowsOutWhatThePaperSays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		room := rapid.Int64Range(1, 1000).Draw(r, "room")
		q := newQueue[string](room)
		m := &model{room: room, asked: map[string]int{}}
		nodes := map[string]*node[string]{}
		name := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 30).Draw(r, "file")) })
		evict := func(r *rapid.T) {
			want, got := m.evict(), ""
			if n := q.evict(); n != nil {
				got = n.value
			}
			if got != want {
				r.Fatalf("evict: got %q, want %q", got, want)
			}
			delete(nodes, got)
		}
		r.Repeat(map[string]func(*rapid.T){
			"add": func(r *rapid.T) {
				n := &node[string]{size: rapid.Int64Range(0, 100).Draw(r, "size"), last: rapid.IntRange(0, 9).Draw(r, "kind") == 0}
				n.name = name.Draw(r, "name")
				n.value = n.name
				if nodes[n.name] == nil {
					nodes[n.name] = n
					q.add(n)
					m.add(n.name, n.size, n.last)
				}
			},
			"touch": func(r *rapid.T) {
				if n := nodes[name.Draw(r, "name")]; n != nil {
					n.touch()
					m.asked[n.name] = min(m.asked[n.name]+1, 3)
				}
			},
			"remove": func(r *rapid.T) {
				if n := nodes[name.Draw(r, "name")]; n != nil {
					q.remove(n)
					q.remove(n)
					m.remove(n.name)
					delete(nodes, n.name)
				}
			},
			"evict": evict,
			"": func(r *rapid.T) {
				if a, b := q.small.bytes+q.main.bytes+q.last.bytes, bytesOf(m.small)+bytesOf(m.main)+bytesOf(m.last); a != b {
					r.Fatalf("bytes: got %d, want %d", a, b)
				}
				if len(q.ghosts.known) != len(m.ghost) || q.ghosts.bytes != bytesOf(m.ghost) || len(q.ghosts.order) > 2*len(m.ghost)+64 {
					r.Fatalf("ghosts: got %d of %d bytes (%d entries), want %d of %d", len(q.ghosts.known), q.ghosts.bytes, len(q.ghosts.order), len(m.ghost), bytesOf(m.ghost))
				}
			},
		})
		for range len(nodes) + 1 {
			evict(r)
		}
	})
}

// hitsOf plays the trace through a cache of so many files of one byte.
func hitsOf(trace []uint64, room int) (hits int) {
	q := newQueue[uint64](int64(room))
	kept := map[uint64]*node[uint64]{}
	for _, id := range trace {
		if n := kept[id]; n != nil {
			n.touch()
			hits++
			continue
		}
		if len(kept) == room {
			delete(kept, q.evict().value)
		}
		n := &node[uint64]{value: id, name: fmt.Sprint(id), size: 1}
		q.add(n)
		kept[id] = n
	}
	return hits
}

// lruHitsOf does so for least recently used.
func lruHitsOf(trace []uint64, room int) (hits int) {
	var order []uint64
	for _, id := range trace {
		if at := slices.Index(order, id); at >= 0 {
			hits++
			order = slices.Delete(order, at, at+1)
		} else if len(order) == room {
			order = order[1:]
		}
		order = append(order, id)
	}
	return hits
}

func TestTheQueueKeepsWhatIsPopularBetterThanLeastRecentlyUsed(t *testing.T) {
	const files, requests = 2000, 60_000
	for _, scans := range []int{0, 4, 10} { // one request in so many is part of a scan of files that nobody asks for twice; 0 for none
		for _, room := range []int{50, 200} {
			rng := rand.New(rand.NewPCG(uint64(scans), uint64(room)))
			zipf := rand.NewZipf(rng, 1.1, 1, files-1)
			trace := make([]uint64, requests)
			for i := range trace {
				trace[i] = zipf.Uint64()
				if scans > 0 && i%(50*scans) < 50 { // fifty at a time, as when somebody watches a film
					trace[i] = uint64(files + i)
				}
			}
			got, lru := hitsOf(trace, room), lruHitsOf(trace, room)
			t.Logf("room %d, scans 1/%d: %.3f of requests hit, LRU %.3f", room, scans, float64(got)/requests, float64(lru)/requests)
			if got < lru+requests/100 {
				t.Errorf("room %d, scans 1/%d: got %d hits of %d requests, want at least one in a hundred more than the %d of least recently used", room, scans, got, requests, lru)
			}
		}
	}
}
