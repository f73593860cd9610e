package steering

import (
	"strings"
	"sync"
	"time"

	"bijou"
)

const (
	// maxPeers and maxPeerAssets bound what one appliance is told of others, and peersPerAsset how many of them it is told of for one asset:
	// one to ask, and one for when that fails.
	maxPeers      = 8
	maxPeerAssets = 200
	peersPerAsset = 2
	// maxLooks bounds the appliances that are looked at for one report.
	maxLooks = 32
	// fillTerm is how long a grant between appliances lasts, and fillAge how long one is handed out again.
	fillTerm = 10 * time.Minute
	fillAge  = 5 * time.Minute
	// maxFillGrants bounds the grants that are kept to be handed out again.
	maxFillGrants = 100_000
)

// offer is what one appliance can fetch from another.
type offer struct {
	peer     bijou.Peer // without grants
	holdings []bijou.Holding
}

// offers returns what the appliance can fetch from others: usable ones with an address that means the same everywhere, those of its own zone
// first. Which of those, goes by a hash of the two, so that not all ask the same ones.
func (g *registry) offers(id bijou.ApplianceID, now time.Time) (out []offer) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	i, known := g.at[id]
	if !known {
		return nil
	}
	e := &g.entries[i]
	told := map[bijou.AssetID]int{}
	for _, at := range g.nearest(i, now) {
		b, other := &g.boxes[at], &g.entries[at]
		f := offer{peer: bijou.Peer{ID: b.ID, Address: b.Address, Zone: b.Zone}}
		for _, h := range other.listed {
			if len(f.holdings) == maxPeerAssets {
				break
			}
			if h.Complete && e.has[h.Asset] != whole && told[h.Asset] < peersPerAsset {
				told[h.Asset]++
				f.holdings = append(f.holdings, h)
			}
		}
		if len(f.holdings) > 0 {
			if out = append(out, f); len(out) == maxPeers {
				break
			}
		}
	}
	return out
}

// nearest returns the boxes that the one may fetch from, those first that it should ask first. The lock is held.
func (g *registry) nearest(i int32, now time.Time) []int {
	me := &g.boxes[i]
	var top [maxLooks]placed
	n := 0
	for at := range g.boxes {
		b := &g.boxes[at]
		if b.ID == "" || at == int(i) || len(g.entries[at].listed) == 0 || strings.Contains(b.Address, "//*") || b.trouble != "" || now.Sub(b.seen) > g.late {
			continue
		}
		p := placed{at: at, s: standing(mix(b.seed^me.seed) >> 1)}
		if b.Zone == me.Zone {
			p.s |= 1 << 63
		}
		to := n
		for to > 0 && better(g.boxes, p, top[to-1]) {
			to--
		}
		if to < len(top) {
			copy(top[to+1:], top[to:])
			top[to] = p
			n = min(n+1, len(top))
		}
	}
	var out []int
	for _, p := range top[:n] {
		out = append(out, p.at)
	}
	return out
}

// peers returns the offers with a grant for each asset.
func (s *Service) peers(offers []offer, now time.Time) (out []bijou.Peer) {
	for _, f := range offers {
		f.peer.Grants = make(map[bijou.AssetID]string, len(f.holdings))
		for _, h := range f.holdings {
			token, err := s.fills.grant(s.Sign, f.peer.ID, h, now)
			if err != nil {
				s.Log.Warn("appliance cannot be let fetch from another", "peer", f.peer.ID, "asset", h.Asset, "error", err)
				continue
			}
			f.peer.Grants[h.Asset] = token
		}
		out = append(out, f.peer)
	}
	return out
}

// fills keeps the grants by which appliances fetch from each other, so that each is signed once for all that ask.
type fills struct {
	mu   sync.Mutex
	kept map[fill]fillGrant
}

type fill struct {
	peer  bijou.ApplianceID
	asset bijou.AssetID
}

type fillGrant struct {
	token string
	at    time.Time
}

// grant returns a grant by which other appliances fetch the asset from the peer.
func (f *fills) grant(sign func(bijou.Grant) (string, error), peer bijou.ApplianceID, h bijou.Holding, now time.Time) (string, error) {
	key := fill{peer, h.Asset}
	f.mu.Lock()
	defer f.mu.Unlock()
	if g, ok := f.kept[key]; ok && now.Sub(g.at) < fillAge {
		return g.token, nil
	}
	token, err := sign(bijou.Grant{
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Title: h.Title, Asset: h.Asset, Expires: now.Add(fillTerm),
	})
	if err == nil {
		if len(f.kept) >= maxFillGrants {
			clear(f.kept)
		}
		f.kept[key] = fillGrant{token, now}
	}
	return token, err
}
