package memcache_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"bijou/wire/memcache"

	"github.com/google/go-cmp/cmp"
)

const longest = 1 << 10

func TestRequestsArePrintedAsTheServerReadsThem(t *testing.T) {
	for want, got := range map[string][]byte{
		"x mg key v c N30 O7\r\n":                           memcache.AppendGet([]byte("x "), "key", 7, 30),
		"ms key 3 C18446744073709551615 T60 O0\r\na\nb\r\n": memcache.AppendSet(nil, "key", 0, []byte("a\nb"), math.MaxUint64, 60),
		"ms key 0 C1 T2592000 O1\r\n\r\n":                   memcache.AppendSet(nil, "key", 1, nil, 1, 2592000),
		"md key O4294967295\r\n":                            memcache.AppendDelete(nil, "key", math.MaxUint32),
		"version\r\n":                                       memcache.AppendVersion(nil),
	} {
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The answers are those that memcached 1.6.18 gave.
func TestAnswersAreRead(t *testing.T) {
	for text, want := range map[string]memcache.Answer{
		"VA 0 c1 O1 W\r\n\r\n":            {Status: memcache.Value, Value: []byte{}, CAS: 1, Opaque: 1, Tagged: true, Won: true},
		"VA 0 c1 O2 Z\r\n\r\n":            {Status: memcache.Value, Value: []byte{}, CAS: 1, Opaque: 2, Tagged: true, Lost: true},
		"VA 3 c2 O4\r\n\r\na\r\n":         {Status: memcache.Value, Value: []byte("\r\na"), CAS: 2, Opaque: 4, Tagged: true},
		"VA 1 f30 kkey t-1\r\nb\r\n":      {Status: memcache.Value, Value: []byte("b")},
		"HD O3\r\n":                       {Status: memcache.Done, Opaque: 3, Tagged: true},
		"HD\r\n":                          {Status: memcache.Done},
		"EX O5\r\n":                       {Status: memcache.Exists, Opaque: 5, Tagged: true},
		"NF O7\r\n":                       {Status: memcache.NotFound, Opaque: 7, Tagged: true},
		"NS O7\r\n":                       {Status: memcache.NotStored, Opaque: 7, Tagged: true},
		"EN\r\n":                          {Status: memcache.Miss},
		"VERSION 1.6.18\r\n":              {Status: memcache.Version, Text: "1.6.18"},
		"ERROR\r\n":                       {Status: memcache.Unknown},
		"CLIENT_ERROR bad data chunk\r\n": {Status: memcache.Refused, Text: "bad data chunk"},
		"SERVER_ERROR object too large for cache\r\n": {Status: memcache.ServerError, Text: "object too large for cache"},
	} {
		got, err := memcache.Read(bufio.NewReader(iotest.OneByteReader(strings.NewReader(text))), longest)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: got (+), want (-):\n%s", text, d)
		}
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": io.EOF, "H": io.ErrUnexpectedEOF, "HD O3\r": io.ErrUnexpectedEOF, "VA 3 c1\r\nab": io.ErrUnexpectedEOF, "VA 3 c1\r\n": io.ErrUnexpectedEOF,
		"HD\n": memcache.ErrMalformed, "\r\n": memcache.ErrMalformed, "HTTP/1.1 400 Bad Request\r\n": memcache.ErrMalformed, "VALUE a 0 1\r\nb\r\nEND\r\n": memcache.ErrMalformed,
		"VA\r\n": memcache.ErrMalformed, "VA -1\r\n": memcache.ErrMalformed, "VA +1\r\na\r\n": memcache.ErrMalformed, "VA 1\r\nabc": memcache.ErrMalformed,
		fmt.Sprintf("VA %d c1\r\n", longest+1): memcache.ErrMalformed, "VA 99999999999999999999\r\n": memcache.ErrMalformed,
		"HD O4294967296\r\n": memcache.ErrMalformed, "HD Ox\r\n": memcache.ErrMalformed, "HD c\r\n": memcache.ErrMalformed,
		"HD " + strings.Repeat("x", 4096) + "\r\n": memcache.ErrMalformed, strings.Repeat("x", 1<<20): memcache.ErrMalformed,
	} {
		if a, err := memcache.Read(bufio.NewReader(strings.NewReader(text)), longest); !errors.Is(err, want) {
			t.Errorf("%.40q: got %+v, %v, want %v", text, a, err, want)
		}
	}
}

// printed returns the answer as a server sends it.
func printed(a memcache.Answer) string {
	flags := fmt.Sprintf(" c%d", a.CAS)
	if a.Tagged {
		flags += fmt.Sprintf(" O%d", a.Opaque)
	}
	if a.Won {
		flags += " W"
	}
	if a.Lost {
		flags += " Z"
	}
	switch a.Status {
	case memcache.Value:
		return fmt.Sprintf("VA %d%s\r\n%s\r\n", len(a.Value), flags, a.Value)
	case memcache.Version, memcache.ServerError, memcache.Refused, memcache.Unknown:
		return fmt.Sprintf("%s %s\r\n", a.Status, a.Text)
	}
	return fmt.Sprintf("%s%s\r\n", a.Status, flags)
}

func FuzzAnswersAreReadWholeOrRefused(f *testing.F) {
	for _, s := range []string{"VA 0 c1 O1 W\r\n\r\nHD O2\r\n", "VA 3 c2 O4\r\nabc\r\n", "EX O5\r\nNF\r\n", "SERVER_ERROR x\r\nMN\r\n", "VERSION 1.6.18\r\n", "VA 9999 \r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			a, err := memcache.Read(r, longest)
			if err != nil {
				return
			}
			if len(a.Value) > longest {
				t.Fatalf("a value of %d bytes, want at most %d", len(a.Value), longest)
			}
			again, err := memcache.Read(bufio.NewReader(strings.NewReader(printed(a))), longest)
			if err != nil {
				t.Fatalf("%+v, printed: %v", a, err)
			}
			if d := cmp.Diff(a, again); d != "" {
				t.Fatalf("read, printed and read again:\n%s", d)
			}
		}
	})
}
