package steering

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"bijou"

	"pgregory.net/rapid"
)

func TestTheLongestNetworkGivesTheZone(t *testing.T) {
	z, err := parseZones([]string{"10.0.0.0/8=home", "10.1.2.3/16=north", "0.0.0.0/0=world", "2001:db8::/32=six", "::ffff:192.0.2.0/120=mapped"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.1.9.9": "north", "10.2.0.1": "home", "9.9.9.9": "world", "::ffff:10.1.0.1": "north", "2001:db8::1%eth0": "six", "2001:db9::1": "", "192.0.2.7": "mapped",
	} {
		if got := z.of(plain(netip.MustParseAddr(addr))); got != want {
			t.Errorf("%s: got zone %q, want %q", addr, got, want)
		}
	}
	if got := z.of(plain(netip.Addr{})); got != "" {
		t.Errorf("an unknown viewer: got zone %q, want none", got)
	}
}

func TestZonesThatCannotBeAreRefusedInWordsThatNameThem(t *testing.T) {
	for _, lines := range [][]string{{"north"}, {"10.0.0.0/8"}, {"10.0.0.0/8="}, {"10.0.0.0=north"}, {"10.0.0.0/33=north"}, {"10.0.0.0/8=a", "10.9.0.0/8=b"}} {
		c := DefaultConfig()
		c.Networks = lines
		if err := c.Check(); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%q: got %v, want Invalid", lines, err)
		}
	}
}

func somePrefix(r *rapid.T) netip.Prefix {
	addr := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(r, "b")), byte(rapid.IntRange(0, 3).Draw(r, "c")), byte(rapid.IntRange(0, 255).Draw(r, "d"))})
	return netip.PrefixFrom(addr, rapid.IntRange(0, 32).Draw(r, "bits")).Masked()
}

func TestNetworksAreFoundAsIfEachWereTried(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := footprint{newNetworks[[]int32]()}
		lists := make([][]netip.Prefix, 5)
		for range rapid.IntRange(1, 12).Draw(r, "changes") {
			box := rapid.IntRange(0, len(lists)-1).Draw(r, "box")
			list := rapid.SliceOfN(rapid.Custom(somePrefix), 0, 5).Draw(r, "networks")
			f.remove(int32(box), lists[box])
			f.add(int32(box), list)
			lists[box] = list
		}
		addr := somePrefix(r).Addr()
		got, want := map[int32]int{}, map[int32]int{}
		for _, n := range f.near(addr) {
			got[n.box] = max(got[n.box], int(n.bits)+1)
		}
		for box, list := range lists {
			for _, p := range list {
				if p.Contains(addr) {
					want[int32(box)] = max(want[int32(box)], p.Bits()+1)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Errorf("%s in %v: got %v, want %v", addr, lists, got, want)
		}
		for box, list := range lists {
			f.remove(int32(box), list)
		}
		if len(f.n.of) != 0 || slices.Max(f.n.lengths[0][:]) != 0 {
			r.Errorf("after all are gone: got %v left", f.n.of)
		}
	})
}

// BenchmarkZoneOf finds the zone among 10,000 networks.
func BenchmarkZoneOf(b *testing.B) {
	var lines []string
	for i := range 10_000 {
		lines = append(lines, fmt.Sprintf("10.%d.%d.0/%d=z%d", i/256, i%256, 24, i%7))
	}
	z, err := parseZones(lines)
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("10.20.30.40")
	for b.Loop() {
		if z.of(addr) == "" {
			b.Fatal("no zone")
		}
	}
}
