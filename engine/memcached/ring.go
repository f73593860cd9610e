package memcached

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// Each server has ringNames names on the ring, and each name four points, as ketama has it.
const ringNames = 40

// point is a place on the ring and the server that has it.
type point struct {
	at     uint32
	server int
}

// ring says which server keeps a key (ketama): a server that comes or goes moves the keys of its own share alone.
type ring []point

func newRing(servers []string) ring {
	var r ring
	for i, s := range servers {
		for n := range ringNames {
			sum := md5.Sum(fmt.Appendf(nil, "%s-%d", s, n))
			for part := range 4 {
				r = append(r, point{binary.LittleEndian.Uint32(sum[4*part:]), i})
			}
		}
	}
	slices.SortFunc(r, func(a, b point) int {
		if a.at != b.at {
			return int(int64(a.at) - int64(b.at))
		}
		return a.server - b.server
	})
	return r
}

// of returns the key's server, and a number that spreads its keys.
func (r ring) of(key string) (server int, spread uint32) {
	sum := md5.Sum([]byte(key))
	at := binary.LittleEndian.Uint32(sum[:])
	i := sort.Search(len(r), func(i int) bool { return r[i].at >= at })
	return r[i%len(r)].server, binary.LittleEndian.Uint32(sum[4:])
}
