package shelf

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"bijou"
)

// Expected is what is known of a file before it is fetched.
type Expected struct {
	Size   int64  // in bytes; 0 where unknown
	SHA256 string // in hexadecimal; empty where only the name is known
}

// asset is what is known of one asset. Shelf.mu guards it.
type asset struct {
	id       bijou.AssetID
	title    bijou.TitleID
	contents *contents // nil where unknown
	items    map[*item]struct{}
	have     int // of contents: those that are there
	bytes    int64
	dead     int          // lines of the index that count no more, of those written by this process
	used     atomic.Int64 // when a file of it was last asked for, in Unix seconds
	told     int64        // number of the call of Expect
	gone     bool         // removed: nothing of it is kept any more
	swept    bool         // and nothing is left on disk
}

func (a *asset) add(it *item) {
	a.items[it] = struct{}{}
	a.bytes += it.size
	if a.contents.has(it.name) {
		a.have++
	}
}

func (a *asset) drop(it *item) {
	delete(a.items, it)
	a.bytes -= it.size
	if a.contents.has(it.name) {
		a.have--
	}
}

// touch notes that a file of the asset was asked for.
func (a *asset) touch(now int64) {
	if a.used.Load() != now { // one write a second is enough
		a.used.Store(now)
	}
}

// contents are the files of an asset as they are expected, packed, since there are thousands: names in order, one after the other.
type contents struct {
	names  string
	ends   []uint32 // of each name
	files  []expected
	prefix int // bytes of the asset's name and its slash, which are left out
}

type expected struct {
	size  int64
	sum   sum
	known bool // sum is
}

func newContents(id bijou.AssetID, files map[string]Expected) (*contents, error) {
	c := &contents{prefix: len(id) + 1}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		want := files[name]
		if assetOf(name) != id || checkName(name) != nil {
			return nil, fmt.Errorf("asset %s is said to have a file %q, which is none of its own: %w", id, name[:min(len(name), 80)], bijou.Invalid)
		}
		e := expected{size: want.Size}
		if want.SHA256 != "" {
			if e.sum, e.known = parseSum(want.SHA256); !e.known {
				return nil, fmt.Errorf("hash %q of %s is no SHA-256 in hexadecimal: %w", want.SHA256[:min(len(want.SHA256), 80)], name, bijou.Invalid)
			}
		}
		b.WriteString(name[c.prefix:])
		c.ends = append(c.ends, uint32(b.Len()))
		c.files = append(c.files, e)
	}
	c.names = b.String()
	return c, nil
}

// find returns what is expected of the file, by its full name.
func (c *contents) find(name string) (expected, bool) {
	if c == nil || len(name) < c.prefix {
		return expected{}, false
	}
	name = name[c.prefix:]
	i, found := sort.Find(len(c.ends), func(i int) int {
		begin := uint32(0)
		if i > 0 {
			begin = c.ends[i-1]
		}
		return strings.Compare(name, c.names[begin:c.ends[i]])
	})
	if !found {
		return expected{}, false
	}
	return c.files[i], true
}

func (c *contents) has(name string) bool {
	_, ok := c.find(name)
	return ok
}

// maxIdle bounds the assets that are known though no file of theirs is there.
const maxIdle = 1000

// assetFor returns what is known of the asset, and begins to know it. Shelf.mu is held.
func (s *Shelf) assetFor(id bijou.AssetID) *asset {
	a := s.assets[id]
	if a == nil {
		a = &asset{id: id, items: map[*item]struct{}{}}
		s.assets[id] = a
	}
	return a
}

// tidyAsset forgets an asset of which nothing is known any more. Shelf.mu is held.
func (s *Shelf) tidyAsset(a *asset) {
	if len(a.items) == 0 && a.contents == nil && !a.gone {
		delete(s.assets, a.id)
	}
}

// Expect tells the shelf which files an asset has, all of them by full name, and what their hashes are. It is remembered for as long as files of the
// asset are there, and else for some time, see Known. Files on disk that differ are corrupt, and removed. It fails with Invalid for a hash that is none,
// or a name that is none of the asset's.
func (s *Shelf) Expect(id bijou.AssetID, title bijou.TitleID, files map[string]Expected) error {
	c, err := newContents(id, files)
	if err != nil {
		return err
	}
	s.mu.Lock()
	a := s.assetFor(id)
	if a.gone {
		s.mu.Unlock()
		return nil
	}
	s.version++
	a.title, a.contents, a.told, a.have = title, c, s.version, 0
	var wrong []*item
	for it := range a.items {
		want, ok := c.find(it.name)
		if ok {
			a.have++
		}
		if ok && want.known && want.sum != it.sum {
			wrong = append(wrong, it)
		}
	}
	s.forgetIdle()
	s.mu.Unlock()
	for _, it := range wrong {
		_ = s.corrupted(it, "its asset says another hash") // what a reader would be told; it was counted and logged
	}
	return nil
}

// forgetIdle forgets the contents of assets that nothing is there of, those told longest ago first, once there are too many. Shelf.mu is held.
func (s *Shelf) forgetIdle() {
	var idle []*asset
	for _, a := range s.assets {
		if len(a.items) == 0 && !a.gone {
			idle = append(idle, a)
		}
	}
	if len(idle) <= maxIdle {
		return
	}
	slices.SortFunc(idle, func(x, y *asset) int { return cmp.Compare(x.told, y.told) })
	for _, a := range idle[:len(idle)/2] {
		delete(s.assets, a.id)
	}
}

// Known tells whether the shelf knows the asset's files from Expect.
func (s *Shelf) Known(id bijou.AssetID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.assets[id]
	return a != nil && a.contents != nil
}

// expected returns what is known of a file beforehand, and fails with NotFound where its asset was removed.
func (s *Shelf) expected(name string) (expected, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.assets[assetOf(name)]
	if a == nil {
		return expected{}, nil
	}
	if a.gone {
		return expected{}, removed(name)
	}
	e, _ := a.contents.find(name) // none: nothing is known
	return e, nil
}

// Has tells whether the file is there, whole. It does not look whether it is still right.
func (s *Shelf) Has(name string) bool { return s.lookup(name) != nil }

// Holdings returns the assets that there are files of, those used last first, and a number that rises when they change, also over restarts. The list is
// shared: it is not to be changed.
func (s *Shelf) Holdings() (version int64, list []bijou.Holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listed == s.version {
		return s.version, s.list
	}
	type entry struct {
		used int64
		bijou.Holding
	}
	var all []entry
	for id, a := range s.assets {
		if len(a.items) == 0 {
			continue
		}
		complete := a.contents != nil && a.have == len(a.contents.ends)
		all = append(all, entry{a.used.Load(), bijou.Holding{Asset: id, Title: a.title, Files: int64(len(a.items)), Bytes: a.bytes, Complete: complete}})
	}
	slices.SortFunc(all, func(x, y entry) int {
		return cmp.Or(cmp.Compare(y.used, x.used), strings.Compare(string(x.Asset), string(y.Asset)))
	})
	s.list, s.listed = make([]bijou.Holding, len(all)), s.version
	for i, e := range all {
		s.list[i] = e.Holding
	}
	return s.version, s.list
}
