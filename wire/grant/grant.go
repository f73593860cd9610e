// Package grant prints and reads grants: the signed path prefix that lets one viewing fetch one asset's files from any appliance.
//
// A token is base64url (RFC 4648 §5, no padding) of: one byte version (1), four bytes key identifier, three strings (session, title,
// asset; each one byte length and that many bytes), eight bytes expiry (seconds since 1970, big endian), one byte length of the network
// prefix's text and that text, and 64 bytes Ed25519 signature (RFC 8032) over all before it.
package grant

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"bijou"
)

// Prefix begins the path of everything that is fetched under a grant: Prefix + token + "/" + asset + "/" + file.
const Prefix = "/g/"

const version = 1

// MaxToken bounds a token, in bytes of text; no grant is longer.
const MaxToken = 512

// maxText bounds each string in a token, in bytes: three identifiers of that length and a network fit MaxToken.
const maxText = 80

var text = base64.RawURLEncoding.Strict()

// Keys are the public keys that grants are checked with, by their identifier: more than one while keys rotate.
type Keys map[uint32]ed25519.PublicKey

// NewKeys returns the keys under their identifiers.
func NewKeys(keys ...ed25519.PublicKey) Keys {
	ks := make(Keys, len(keys))
	for _, k := range keys {
		ks[keyID(k)] = k
	}
	return ks
}

// keyID returns the first four bytes of the key's SHA-256: it chooses a key, and proves nothing.
func keyID(k ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(k)
	return binary.BigEndian.Uint32(sum[:4])
}

// Sign prints the grant as a token under the key. It fails with Invalid where an identifier is longer than 80 bytes.
func Sign(g bijou.Grant, key ed25519.PrivateKey) (string, error) {
	pub, _ := key.Public().(ed25519.PublicKey)
	b := binary.BigEndian.AppendUint32([]byte{version}, keyID(pub))
	for _, s := range []string{string(g.Session), string(g.Title), string(g.Asset)} {
		if len(s) > maxText {
			return "", fmt.Errorf("grant: identifier of %d bytes, at most %d: %w", len(s), maxText, bijou.Invalid)
		}
		b = append(append(b, byte(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(g.Expires.Unix()))
	network := ""
	if g.Network.IsValid() {
		network = normal(g.Network).String()
	}
	b = append(append(b, byte(len(network))), network...)
	return text.EncodeToString(append(b, ed25519.Sign(key, b)...)), nil
}

// normal returns the network as it stands in tokens: without bits below its mask, and one of IPv4 addresses mapped into IPv6
// (RFC 4291 section 2.5.5.2) as the IPv4 network, since addresses are compared so.
func normal(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Open reads a token and checks its signature, nothing else: Check says whether it holds now. It fails with Denied for a token
// that is malformed, signed by an unknown key, or changed.
func Open(token string, keys Keys) (bijou.Grant, error) {
	if len(token) > MaxToken {
		return bijou.Grant{}, denied("longer than %d bytes", MaxToken)
	}
	raw, err := text.DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") { // which the decoder skips: one grant would have many tokens
		return bijou.Grant{}, denied("not base64url")
	}
	if len(raw) < 5+ed25519.SignatureSize || raw[0] != version {
		return bijou.Grant{}, denied("not a grant of version %d", version)
	}
	body, sig := raw[:len(raw)-ed25519.SignatureSize], raw[len(raw)-ed25519.SignatureSize:]
	key, ok := keys[binary.BigEndian.Uint32(body[1:5])]
	if !ok || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, body, sig) {
		return bijou.Grant{}, denied("signature does not hold")
	}
	return parse(body[5:])
}

func parse(b []byte) (g bijou.Grant, err error) {
	var parts [3]string
	for i := range parts {
		if parts[i], b, err = cut(b); err != nil {
			return bijou.Grant{}, err
		}
	}
	if len(b) < 9 {
		return bijou.Grant{}, denied("it ends early")
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC()
	network, rest, err := cut(b[8:])
	if err != nil {
		return bijou.Grant{}, err
	}
	if len(rest) != 0 {
		return bijou.Grant{}, denied("it goes on after its end")
	}
	g = bijou.Grant{Session: bijou.SessionID(parts[0]), Title: bijou.TitleID(parts[1]), Asset: bijou.AssetID(parts[2]), Expires: expires}
	if network != "" {
		if g.Network, err = netip.ParsePrefix(network); err != nil || normal(g.Network).String() != network {
			return bijou.Grant{}, denied("network %q", network)
		}
	}
	return g, nil
}

// cut takes a string with its one-byte length off b.
func cut(b []byte) (string, []byte, error) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", nil, denied("it ends early")
	}
	if b[0] > maxText {
		return "", nil, denied("a part of it is longer than %d bytes", maxText)
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], nil
}

// Check refuses, as Denied, a grant that has expired at now, is for another asset, or is used from outside its network.
func Check(g bijou.Grant, asset bijou.AssetID, from netip.Addr, now time.Time) error {
	switch {
	case !now.Before(g.Expires):
		return denied("it expired at %s", g.Expires.Format(time.RFC3339))
	case g.Asset != asset:
		return denied("it is for another title")
	case g.Network.IsValid() && !normal(g.Network).Contains(from.Unmap().WithZone("")): // a zone names this machine's interface, not the network
		return denied("it is for another network")
	}
	return nil
}

// Split takes a request's path, decoded, apart: Prefix, token, asset, and the file's path below the asset's folder. It refuses a path
// that is not made so, or whose file is not a safe path as bijou.CheckKey has it: one with "..", an empty part, a backslash or a "%".
func Split(address string) (token string, asset bijou.AssetID, file string, ok bool) {
	rest, ok := strings.CutPrefix(address, Prefix)
	if !ok {
		return "", "", "", false
	}
	token, rest, _ = strings.Cut(rest, "/")
	name, file, _ := strings.Cut(rest, "/")
	if token == "" || bijou.CheckKey(name) != nil || bijou.CheckKey(file) != nil {
		return "", "", "", false
	}
	return token, bijou.AssetID(name), file, true
}

// SplitForeign is as Split, for files of an origin whose names are not ours: a file may have any characters but control characters, backslashes and
// "%", which an origin might decode once more.
func SplitForeign(address string) (token string, asset bijou.AssetID, file string, ok bool) {
	rest, ok := strings.CutPrefix(address, Prefix)
	if !ok {
		return "", "", "", false
	}
	token, rest, _ = strings.Cut(rest, "/")
	name, file, _ := strings.Cut(rest, "/")
	odd := strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '%' || r == utf8.RuneError })
	if token == "" || bijou.CheckKey(name) != nil || file == "" || len(file) > bijou.MaxKey || odd || path.Clean("/"+file) != "/"+file {
		return "", "", "", false
	}
	return token, bijou.AssetID(name), file, true
}

// Base returns the path below which the asset's files are fetched under the token. It ends in a slash.
func Base(token string, asset bijou.AssetID) string {
	return Prefix + token + "/" + string(asset) + "/"
}

func denied(format string, args ...any) error {
	return fmt.Errorf("grant refused: "+format+": %w", append(args, bijou.Denied)...)
}
