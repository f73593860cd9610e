package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/service/appliance/shelf"
	"bijou/wire/grant"
)

// sources is where an appliance fetches: from a peer that has the asset whole, else from the origin.
type sources struct{ s *Service }

// Fetch implements shelf.Source.
func (f *sources) Fetch(ctx context.Context, name string, offset, length int64) (shelf.Fetched, error) {
	asset, _, _ := strings.Cut(name, "/")
	for _, p := range f.s.peers.of(bijou.AssetID(asset)) {
		got, err := fetchHTTP(ctx, upstream, p.address+grant.Prefix+p.token+"/"+escape(name), offset, length)
		if err == nil {
			got.From = string(p.id)
			return got, nil
		}
		f.s.peers.failed(p.id)
	}
	return f.s.Source.Fetch(ctx, name, offset, length)
}

// peers are the other appliances that files can be fetched from.
type peers struct {
	now func() time.Time

	mu    sync.Mutex
	list  []bijou.Peer
	shunt map[bijou.ApplianceID]time.Time // peers that failed, until when they are left alone
}

// shunFor is how long a peer that failed is not asked.
const shunFor = 30 * time.Second

// peer is one that has an asset.
type peer struct {
	id             bijou.ApplianceID
	address, token string
}

func (p *peers) set(list []bijou.Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

// of returns at most two peers that have the asset, nearest first.
func (p *peers) of(asset bijou.AssetID) (out []peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.list {
		token, ok := x.Grants[asset]
		if ok && len(out) < 2 && p.now().After(p.shunt[x.ID]) {
			out = append(out, peer{x.ID, x.Address, token})
		}
	}
	return out
}

func (p *peers) failed(id bijou.ApplianceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shunt == nil || len(p.shunt) > 1000 {
		p.shunt = map[bijou.ApplianceID]time.Time{}
	}
	p.shunt[id] = p.now().Add(shunFor)
}

// StoreOrigin is the origin where its blobs can be read in this process.
func StoreOrigin(blobs bijou.BlobStore) Origin { return Origin{storeSource{blobs}, true} }

type storeSource struct{ blobs bijou.BlobStore }

// Fetch implements shelf.Source.
func (o storeSource) Fetch(ctx context.Context, name string, offset, length int64) (shelf.Fetched, error) {
	body, b, err := o.blobs.Get(ctx, bijou.AssetsPrefix+name, offset, length)
	if err != nil {
		return shelf.Fetched{}, err
	}
	return shelf.Fetched{Body: body, Size: b.Size, From: "origin"}, nil
}

// HTTPOrigin is any HTTP server whose files are viewers' files: ASSET/FILE of a grant is fetched from base/ASSET/FILE. It fails with Invalid for
// what is no address.
func HTTPOrigin(base string) (Origin, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return Origin{}, fmt.Errorf("origin %q is no address: write one such as https://origin.example.org/films: %w", base, bijou.Invalid)
	}
	return Origin{httpSource{strings.TrimRight(base, "/") + "/", upstream}, false}, nil
}

// MemberOrigin is the origin of the service that the appliance is a member of: base ends in a slash, and the client shows the member's certificate.
func MemberOrigin(base string, client *http.Client) Origin {
	return Origin{httpSource{base, client}, true}
}

type httpSource struct {
	base   string
	client *http.Client
}

// Fetch implements shelf.Source.
func (o httpSource) Fetch(ctx context.Context, name string, offset, length int64) (shelf.Fetched, error) {
	got, err := fetchHTTP(ctx, o.client, o.base+escape(name), offset, length)
	got.From = "origin"
	return got, err
}

// escape makes the name a path.
func escape(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// upstream is how files are fetched. Redirects are followed, as origins move.
var upstream = &http.Client{Transport: &http.Transport{
	Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxUpstream, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 15 * time.Second,
	TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, DisableCompression: true, // what is kept is what the origin has
}}

const maxUpstream = 64

// fetchHTTP reads a part of a file by HTTP (RFC 9110 section 14). A server that knows no ranges sends the whole, of which the beginning is
// passed over.
func fetchHTTP(ctx context.Context, client *http.Client, address string, offset, length int64) (shelf.Fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return shelf.Fetched{}, fmt.Errorf("fetch: %q is no address: %w", address[:min(len(address), 80)], bijou.Invalid)
	}
	last := ""
	if length >= 0 {
		last = strconv.FormatInt(offset+max(length, 1)-1, 10)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%s", offset, last))
	res, err := client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the address, which may hold a grant
		}
		return shelf.Fetched{}, fmt.Errorf("fetch from %s (%w): %w", req.URL.Host, err, bijou.Unavailable)
	}
	got := shelf.Fetched{Body: res.Body, Size: res.ContentLength, MediaType: res.Header.Get("Content-Type"), ETag: res.Header.Get("ETag")}
	got.Modified, _ = http.ParseTime(res.Header.Get("Last-Modified")) // absent or odd: unknown
	if strings.HasPrefix(got.ETag, "W/") {
		got.ETag = "" // weak ones do not tell bytes apart
	}
	switch res.StatusCode {
	case http.StatusPartialContent:
		if got.Size, err = totalOf(res.Header.Get("Content-Range"), offset); err == nil {
			return got, nil
		}
	case http.StatusOK:
		if _, err = io.CopyN(io.Discard, res.Body, offset); err == nil {
			return got, nil
		}
		err = fmt.Errorf("fetch from %s: it ended before byte %d: %w", req.URL.Host, offset, bijou.Unavailable)
	case http.StatusRequestedRangeNotSatisfiable: // of an empty file no byte can be asked for
		if res.Header.Get("Content-Range") == "bytes */0" && offset == 0 {
			got.Size = 0
			got.Body.Close()
			got.Body = http.NoBody
			return got, nil
		}
		err = fmt.Errorf("fetch from %s: the file ends before byte %d: %w", req.URL.Host, offset, bijou.Corrupt)
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden, http.StatusUnauthorized:
		err = fmt.Errorf("fetch from %s: it answered %s: %w", req.URL.Host, res.Status, bijou.NotFound)
	default:
		err = fmt.Errorf("fetch from %s: it answered %s: %w", req.URL.Host, res.Status, bijou.Unavailable)
	}
	res.Body.Close()
	return shelf.Fetched{}, err
}

// totalOf reads the size of the whole file out of "bytes 0-9/100" (RFC 9110 section 14.4).
func totalOf(contentRange string, offset int64) (int64, error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	begin, err := strconv.ParseInt(first, 10, 64)
	size, errSize := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil || errSize != nil || begin != offset || size < 0 {
		return 0, fmt.Errorf("the source answered range %q where byte %d on was asked for: %w", contentRange[:min(len(contentRange), 60)], offset, bijou.Unavailable)
	}
	return size, nil
}
