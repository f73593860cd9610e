// Package steering prints and reads content steering manifests: by which players learn, while they play, which pathway to use first
// (RFC 8216bis section 7.2; ETSI TS 103 998 for DASH, whose service locations are the same).
package steering

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bijou"
)

// MediaType is the media type of a steering manifest.
const MediaType = "application/json"

// DefaultTTL is how long a manifest holds that does not say (RFC 8216bis section 7.2).
const DefaultTTL = 300 * time.Second

// maxManifest bounds a manifest, in bytes.
const maxManifest = 64 << 10

// Manifest is what a steering server answers.
type Manifest struct {
	TTL      time.Duration // until the player asks again; whole seconds
	Reload   string        // where it asks; empty for the same address
	Pathways []string      // names of pathways, best first
}

type document struct {
	Version  int      `json:"VERSION"`
	TTL      *int64   `json:"TTL,omitempty"`
	Reload   string   `json:"RELOAD-URI,omitempty"`
	Pathways []string `json:"PATHWAY-PRIORITY"`
	// Locations is what players for DASH looked for before the two became one.
	Locations []string `json:"SERVICE-LOCATION-PRIORITY,omitempty"`
}

// Print returns the manifest's JSON. It fails with Invalid for one without a pathway, or that does not hold for a second.
func Print(m Manifest) ([]byte, error) {
	if len(m.Pathways) == 0 || m.TTL < time.Second {
		return nil, fmt.Errorf("steering manifest of %d pathways for %s: it needs one pathway and one second at least: %w", len(m.Pathways), m.TTL, bijou.Invalid)
	}
	ttl := int64(m.TTL / time.Second)
	return json.Marshal(document{Version: 1, TTL: &ttl, Reload: m.Reload, Pathways: m.Pathways})
}

// Parse reads a manifest. What it does not know in it, it passes over, as section 7.2 demands. It fails with Invalid for what is no manifest, and with
// Unsupported for one of another version.
func Parse(raw []byte) (Manifest, error) {
	var d document
	if len(raw) > maxManifest {
		return Manifest{}, fmt.Errorf("steering manifest of %d bytes: at most %d are read: %w", len(raw), maxManifest, bijou.Invalid)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return Manifest{}, fmt.Errorf("steering manifest is not JSON of its form (%v): %w", err, bijou.Invalid)
	}
	if d.Version != 1 {
		return Manifest{}, fmt.Errorf("steering manifest has version %d, and 1 is understood: %w", d.Version, bijou.Unsupported)
	}
	m := Manifest{TTL: DefaultTTL, Reload: d.Reload}
	if d.TTL != nil && *d.TTL > 0 && *d.TTL < 1<<31 {
		m.TTL = time.Duration(*d.TTL) * time.Second
	}
	seen := map[string]bool{}
	for _, p := range append(d.Pathways, d.Locations...) {
		if p != "" && !seen[p] {
			seen[p] = true
			m.Pathways = append(m.Pathways, p)
		}
	}
	if len(m.Pathways) == 0 {
		return Manifest{}, fmt.Errorf("steering manifest names no pathway: %w", bijou.Invalid)
	}
	return m, nil
}

// Query is what a player tells as it asks (RFC 8216bis section 7.2, ETSI TS 103 998 clause 7).
type Query struct {
	Pathway    string // that it uses now; empty where it does not say
	Throughput int64  // that it measured, in bits a second; 0 where it does not say
}

// ParseQuery reads the query parameters of a request. What cannot be read counts as not said.
func ParseQuery(q url.Values) (out Query) {
	for _, prefix := range []string{"_HLS_", "_DASH_"} {
		// Values may come as quoted strings, and several pathways separated by commas, the latest first.
		if p := strings.Trim(q.Get(prefix+"pathway"), `"`); p != "" && len(p) <= 200 {
			out.Pathway, _, _ = strings.Cut(p, ",")
		}
		t, _, _ := strings.Cut(strings.Trim(q.Get(prefix+"throughput"), `"`), ",")
		if n, err := strconv.ParseInt(t, 10, 64); err == nil && n > 0 {
			out.Throughput = n
		}
	}
	return out
}
