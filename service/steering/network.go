package steering

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"bijou"
)

// networks finds what is said of the networks that an address is in: one look for each length that occurs, however many networks there are.
type networks[V any] struct {
	of      map[netip.Prefix]V
	lengths [2][129]int // how many networks of each length there are, by whether they are of IPv6
}

func newNetworks[V any]() *networks[V] { return &networks[V]{of: map[netip.Prefix]V{}} }

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (n *networks[V]) set(p netip.Prefix, v V) {
	if _, known := n.of[p]; !known {
		n.lengths[family(p.Addr())][p.Bits()]++
	}
	n.of[p] = v
}

func (n *networks[V]) remove(p netip.Prefix) {
	if _, known := n.of[p]; known {
		n.lengths[family(p.Addr())][p.Bits()]--
		delete(n.of, p)
	}
}

// each calls f for each network that the address is in, the longest first, until f says that it is enough.
func (n *networks[V]) each(a netip.Addr, f func(bits int, v V) (enough bool)) {
	if !a.IsValid() {
		return
	}
	for bits := a.BitLen(); bits >= 0; bits-- {
		if n.lengths[family(a)][bits] == 0 {
			continue
		}
		p, err := a.Prefix(bits)
		if err != nil {
			return // the address has a zone, which plain takes off
		}
		if v, ok := n.of[p]; ok && f(bits, v) {
			return
		}
	}
}

// plain returns the address as networks have it: IPv4 within IPv6 as IPv4, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// plainNetwork returns the network as set wants it, or false for what is none.
func plainNetwork(p netip.Prefix) (netip.Prefix, bool) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), p.IsValid()
}

// zones tell which zone a viewer is in.
type zones struct{ n *networks[string] }

func parseZones(lines []string) (zones, error) {
	z := zones{newNetworks[string]()}
	for _, l := range lines {
		network, name, ok := strings.Cut(l, "=")
		p, err := netip.ParsePrefix(network)
		p, valid := plainNetwork(p)
		if !ok || err != nil || !valid || name == "" {
			return z, fmt.Errorf("networks holds %q: write a network and its zone, such as 192.0.2.0/24=oslo: %w", l, bijou.Invalid)
		}
		if other, known := z.n.of[p]; known && other != name {
			return z, fmt.Errorf("networks puts %s in zone %s and in zone %s: leave one of them out: %w", p, other, name, bijou.Invalid)
		}
		z.n.set(p, name)
	}
	return z, nil
}

// of returns the zone of the longest network that the address is in, or nothing.
func (z zones) of(addr netip.Addr) (name string) {
	z.n.each(addr, func(_ int, v string) bool {
		name = v
		return true
	})
	return name
}

// footprint tells which boxes are meant for the networks that a viewer is in.
type footprint struct{ n *networks[[]int32] }

func (f footprint) add(box int32, list []netip.Prefix) {
	for _, p := range list {
		if p, ok := plainNetwork(p); ok && !slices.Contains(f.n.of[p], box) {
			f.n.set(p, append(f.n.of[p], box))
		}
	}
}

func (f footprint) remove(box int32, list []netip.Prefix) {
	for _, p := range list {
		p, _ := plainNetwork(p) // what is no network was not added
		left := slices.DeleteFunc(f.n.of[p], func(x int32) bool { return x == box })
		if len(left) == 0 {
			f.n.remove(p)
		} else {
			f.n.set(p, left)
		}
	}
}

// near returns the boxes that have a network the address is in, those with the longest first.
func (f footprint) near(addr netip.Addr) (out []near) {
	f.n.each(addr, func(bits int, boxes []int32) bool {
		for _, b := range boxes {
			out = append(out, near{b, uint8(bits)})
		}
		return false
	})
	return out
}
