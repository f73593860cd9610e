package grant_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/wire/grant"

	"pgregory.net/rapid"
)

var (
	now  = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	key  = ed25519.NewKeyFromSeed(make([]byte, 32))
	keys = grant.NewKeys(key.Public().(ed25519.PublicKey))
	some = bijou.Grant{Session: "ply_1", Title: "ttl_2", Asset: "ast_3", Expires: now.Add(time.Hour), Network: netip.MustParsePrefix("192.0.2.0/24")}
)

func sign(t *testing.T, g bijou.Grant) string {
	t.Helper()
	token, err := grant.Sign(g, key)
	if err != nil {
		t.Fatalf("Sign(%+v) = %v", g, err)
	}
	return token
}

func TestAGrantReadsBackAsItWasSigned(t *testing.T) {
	for _, want := range []bijou.Grant{some, {Session: "ply_1", Title: "ttl_2", Asset: "ast_3", Expires: now}} {
		got, err := grant.Open(sign(t, want), keys)
		if err != nil || got != want {
			t.Errorf("Open(Sign(%+v)) = %+v, %v", want, got, err)
		}
	}
}

func TestAnyChangedBitIsRefused(t *testing.T) {
	raw, err := base64.RawURLEncoding.DecodeString(sign(t, some))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		forged := append([]byte(nil), raw...)
		forged[bit/8] ^= 1 << (bit % 8)
		if g, err := grant.Open(base64.RawURLEncoding.EncodeToString(forged), keys); !errors.Is(err, bijou.Denied) {
			t.Errorf("bit %d flipped: Open = %+v, %v; want Denied", bit, g, err)
		}
	}
}

func TestAGrantOfAnUnknownKeyIsRefused(t *testing.T) {
	other := ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))
	if _, err := grant.Open(sign(t, some), grant.NewKeys(other.Public().(ed25519.PublicKey))); !errors.Is(err, bijou.Denied) {
		t.Errorf("Open under another key = %v, want Denied", err)
	}
}

func TestAGrantHoldsForItsTimeAssetAndNetworkAlone(t *testing.T) {
	inside, outside := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("198.51.100.9")
	check := func(name string, asset bijou.AssetID, from netip.Addr, at time.Time, want error) {
		if got := grant.Check(some, asset, from, at); !errors.Is(got, want) {
			t.Errorf("%s: Check = %v, want %v", name, got, want)
		}
	}
	check("as granted", "ast_3", inside, now, nil)
	check("as granted, address mapped into IPv6", "ast_3", netip.MustParseAddr("::ffff:192.0.2.9"), now, nil)
	check("a second before its end", "ast_3", inside, some.Expires.Add(-time.Second), nil)
	check("at its end", "ast_3", inside, some.Expires, bijou.Denied)
	check("another asset", "ast_4", inside, now, bijou.Denied)
	check("another network", "ast_3", outside, now, bijou.Denied)
}

func TestAPathIsTakenApartAsItWasMade(t *testing.T) {
	path := grant.Base("TOKEN", "ast_3") + "v720/1.m4s"
	token, asset, file, ok := grant.Split(path)
	if token != "TOKEN" || asset != "ast_3" || file != "v720/1.m4s" || !ok {
		t.Errorf("Split(%q) = %q, %q, %q, %v", path, token, asset, file, ok)
	}
}

func TestAPathThatIsNotMadeSoIsRefused(t *testing.T) {
	for _, bad := range []string{
		"", "/", "/g/", "/g/T", "/g/T/", "/g/T/ast_3", "/g/T/ast_3/", "/x/T/ast_3/f", "g/T/ast_3/f", "/G/T/ast_3/f",
		"/g//ast_3/f", "/g/T//f", "/g/T/../f", "/g/T/./f", "/g/T/.hidden/f",
		"/g/T/ast_3/../f", "/g/T/ast_3/../../f", "/g/T/ast_3/v/../../f", "/g/T/ast_3/v/..", "/g/T/ast_3/.", "/g/T/ast_3/./f",
		"/g/T/ast_3//f", "/g/T/ast_3/v//f", "/g/T/ast_3/v/", "/g/T/ast_3/.f", "/g/T/ast_3/%2e%2e/f", "/g/T/ast_3/%2e./f", "/g/T/ast_3/v%2ff",
		`/g/T/ast_3/..\f`, `/g/T/ast_3/v\f`, "/g/T/ast_3/f\x00", "/g/T/ast_3/f\n", "/g/T/ast_3/f?x", "/g/T/ast_3/é", "/g/T/ast 3/f",
		"/g/T/ast_3/" + strings.Repeat("a", bijou.MaxKey+1),
	} {
		if token, asset, file, ok := grant.Split(bad); ok || token != "" || asset != "" || file != "" {
			t.Errorf("Split(%q) = %q, %q, %q, %v, want a refusal", bad, token, asset, file, ok)
		}
	}
}

func TestAnyGrantReadsBackAsItWasSigned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string {
			return string(rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, what)) // any bytes: an identifier's form is not the token's concern
		}
		want := bijou.Grant{
			Session: bijou.SessionID(text("session")), Title: bijou.TitleID(text("title")), Asset: bijou.AssetID(text("asset")),
			Expires: time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "expires"), 0).UTC(), Network: networks().Draw(t, "network"),
		}
		token, err := grant.Sign(want, key)
		if err != nil || len(token) > grant.MaxToken {
			t.Fatalf("Sign(%+v) = %d bytes, %v; want at most %d", want, len(token), err, grant.MaxToken)
		}
		got, err := grant.Open(token, keys)
		if err != nil || got != want {
			t.Fatalf("Open(Sign(%+v)) = %+v, %v", want, got, err)
		}
		if base := grant.Base(token, "ast_3"); !strings.HasSuffix(base, "/") {
			t.Fatalf("Base = %q, want a slash at its end", base)
		} else if back, _, _, ok := grant.Split(base + "f"); !ok || back != token {
			t.Fatalf("Split(%q) = %q, %v, want the token", base+"f", back, ok)
		}
	})
}

// networks draws networks as they stand in tokens, and now and then none.
func networks() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		addr := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		switch rapid.IntRange(0, 2).Draw(t, "family") {
		case 0:
			return netip.Prefix{}
		case 1:
			raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")
			raw[0] |= 0x20 // not one that holds IPv4
			addr = netip.AddrFrom16([16]byte(raw))
		}
		return netip.PrefixFrom(addr, rapid.IntRange(0, addr.BitLen()).Draw(t, "bits")).Masked()
	})
}

func TestAnIdentifierThatIsTooLongIsNotSigned(t *testing.T) {
	for _, n := range []int{80, 81, 256} {
		long := strings.Repeat("x", n)
		for _, g := range []bijou.Grant{{Session: bijou.SessionID(long)}, {Title: bijou.TitleID(long)}, {Asset: bijou.AssetID(long)}} {
			if token, err := grant.Sign(g, key); (err == nil) != (n <= 80) || err != nil && !errors.Is(err, bijou.Invalid) {
				t.Errorf("Sign with an identifier of %d bytes = %q, %v; want Invalid beyond 80", n, token, err)
			}
		}
	}
}

// signed returns the token of a body that the key signed, whatever is in it.
func signed(body []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(body, ed25519.Sign(key, body)...))
}

func TestATokenThatIsMadeWronglyIsRefusedEvenWhereItIsSigned(t *testing.T) {
	raw, err := base64.RawURLEncoding.DecodeString(sign(t, some))
	if err != nil {
		t.Fatal(err)
	}
	body := raw[:len(raw)-ed25519.SignatureSize]
	head := body[:5]
	check := func(name, token string) {
		if g, err := grant.Open(token, keys); !errors.Is(err, bijou.Denied) {
			t.Errorf("%s: Open(%q) = %+v, %v; want Denied", name, token, g, err)
		}
	}
	for n := range len(body) {
		check(fmt.Sprintf("cut after %d bytes", n), signed(slices.Clone(body[:n])))
	}
	check("a byte too many", signed(append(slices.Clone(body), 0)))
	check("another version", signed(append([]byte{2}, body[1:]...)))
	check("a part beyond its bound", signed(slices.Concat(head, []byte{81}, make([]byte, 81), []byte{0, 0}, make([]byte, 8), []byte{0})))
	empty := slices.Concat(head, []byte{0, 0, 0}, make([]byte, 8))
	if _, err := grant.Open(signed(append(slices.Clone(empty), 0)), keys); err != nil {
		t.Fatalf("Open of a grant with nothing in it = %v", err)
	}
	for _, network := range []string{"x", "192.0.2.0", "192.0.2.0/33", "192.0.2.1/24", "::ffff:192.0.2.0/120", "fe80::%eth0/64", "192.0.2.0/024"} {
		check("network "+network, signed(append(append(slices.Clone(empty), byte(len(network))), network...)))
	}
	check("a newline in the token", sign(t, some)[:10]+"\n"+sign(t, some)[10:])
	check("a carriage return at its end", sign(t, some)+"\r")
	check("padding", sign(t, some)+"=")
	check("longer than any", strings.Repeat("A", grant.MaxToken+1))
	check("nothing", "")
}

func TestAKeyThatIsNoneOpensNothing(t *testing.T) {
	none := grant.NewKeys(nil)
	for id := range none {
		body := append(binary.BigEndian.AppendUint32([]byte{1}, id), make([]byte, 12)...)
		if g, err := grant.Open(signed(body), none); !errors.Is(err, bijou.Denied) {
			t.Errorf("Open under an empty key = %+v, %v; want Denied", g, err)
		}
	}
}

func TestWhileKeysRotateGrantsOfEachOpen(t *testing.T) {
	other := ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))
	both := grant.NewKeys(key.Public().(ed25519.PublicKey), other.Public().(ed25519.PublicKey))
	for _, k := range []ed25519.PrivateKey{key, other} {
		token, err := grant.Sign(some, k)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := grant.Open(token, both); err != nil || got != some {
			t.Errorf("Open under both keys = %+v, %v; want %+v", got, err, some)
		}
	}
}

func TestANetworkHoldsTheSameAddressesHoweverTheyAreWritten(t *testing.T) {
	check := func(network, from string, want bool) {
		t.Helper()
		g := some
		g.Network = netip.MustParsePrefix(network)
		opened, err := grant.Open(sign(t, g), keys)
		if err != nil {
			t.Fatalf("Open of a grant for %s = %v", network, err)
		}
		for _, g := range []bijou.Grant{g, opened} {
			if err := grant.Check(g, "ast_3", netip.MustParseAddr(from), now); (err == nil) != want || err != nil && !errors.Is(err, bijou.Denied) {
				t.Errorf("grant for %v used from %s: Check = %v, want it to hold: %v", g.Network, from, err, want)
			}
		}
	}
	for _, network := range []string{"192.0.2.0/24", "192.0.2.77/24", "::ffff:192.0.2.0/120", "::ffff:192.0.2.77/120"} {
		check(network, "192.0.2.9", true)
		check(network, "::ffff:192.0.2.9", true)
		check(network, "192.0.3.9", false)
		check(network, "::ffff:192.0.3.9", false)
		check(network, "2001:db8::1", false)
	}
	check("2001:db8::/32", "2001:db8::1", true)
	check("2001:db8::/32", "2001:db9::1", false)
	check("2001:db8::/32", "192.0.2.9", false)
	check("fe80::/64", "fe80::1%eth0", true)
	check("0.0.0.0/0", "198.51.100.1", true)
	check("0.0.0.0/0", "2001:db8::1", false)
	// Whoever cannot be told is in no network.
	if err := grant.Check(some, "ast_3", netip.Addr{}, now); !errors.Is(err, bijou.Denied) {
		t.Errorf("Check from no address = %v, want Denied", err)
	}
}

func FuzzOpen(f *testing.F) {
	token, err := grant.Sign(some, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, token string) {
		g, err := grant.Open(token, keys)
		if err != nil {
			if !errors.Is(err, bijou.Denied) {
				t.Fatalf("Open(%q) = %v, want Denied", token, err)
			}
			return
		}
		again, err := grant.Sign(g, key)
		if err != nil || again != token {
			t.Fatalf("Open(%q) = %+v, which signs as %q, %v", token, g, again, err)
		}
	})
}

func FuzzOpenOfWhatIsSigned(f *testing.F) {
	token, err := grant.Sign(some, key)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		f.Fatal(err)
	}
	head := slices.Clone(raw[:5])
	f.Add(raw[5 : len(raw)-ed25519.SignatureSize])
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, body []byte) {
		token := signed(slices.Concat(head, body))
		g, err := grant.Open(token, keys)
		if err != nil {
			if !errors.Is(err, bijou.Denied) {
				t.Fatalf("Open(%q) = %v, want Denied", token, err)
			}
			return
		}
		if again, err := grant.Sign(g, key); err != nil || again != token {
			t.Fatalf("Open(%q) = %+v, which signs as %q, %v", token, g, again, err)
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, path := range []string{"/g/T/ast_3/v720/1.m4s", "/g/T/ast_3/../f", "/g/T/ast_3/%2e", "/g//", "/g/T/ast_3/a//b", "x"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		token, asset, file, ok := grant.Split(path)
		if !ok {
			return
		}
		if again := grant.Base(token, asset) + file; again != path {
			t.Fatalf("Split(%q) makes %q again", path, again)
		}
		if key := asset.Key(file); key != bijou.AssetsPrefix+string(asset)+"/"+file {
			t.Fatalf("Split(%q) leads to blob %q, outside of the asset's folder", path, key)
		}
	})
}

func TestFilesOfForeignOriginsMayHaveOddNamesAndLeadNowhereElse(t *testing.T) {
	for file, ok := range map[string]bool{
		"part 1.bin": true, "a/b/ü (1).mp4": true, ".hidden": true, "a.b": true,
		"": false, "..": false, "a/../b": false, "./a": false, "a//b": false, "/a": false, "a/": false, "a\\b": false, "a\nb": false, "%2e%2e/a": false, "a\xff": false,
	} {
		token, asset, got, taken := grant.SplitForeign("/g/T/films/" + file)
		if taken != ok || ok && (token != "T" || asset != "films" || got != file) {
			t.Errorf("%q: got %q, %q, %q, %v, want it taken: %v", file, token, asset, got, taken, ok)
		}
	}
	for _, path := range []string{"/g/T/fi lms/a", "/g//films/a", "/h/T/films/a", "/g/T/films"} {
		if _, _, _, ok := grant.SplitForeign(path); ok {
			t.Errorf("%q: taken", path)
		}
	}
}
