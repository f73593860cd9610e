// Package http1 reads the heads of plain HTTP/1.1 requests for files, as players send them by the thousand, without making anything of them that is
// thrown away again. What is not plain it leaves to a full implementation, and says so.
package http1

import (
	"bytes"
	"strconv"
)

// MaxHead bounds a request's head, in bytes; a longer one is not plain.
const MaxHead = 8 << 10

// Request is a plain request: GET or HEAD of a path, without a body. Its slices are parts of what was parsed.
type Request struct {
	Head        bool   // HEAD rather than GET
	Path        []byte // as it was sent, without a query; it holds no percent sign
	Range       []byte // value of the header field, or nil
	IfRange     []byte
	IfNoneMatch []byte
	Close       bool // the connection ends after the answer
}

// Verdict says what Parse found.
type Verdict int

// What Parse finds.
const (
	More  Verdict = iota // the head goes on
	Plain                // a plain request
	Other                // anything else: an error, another version, a body, an upgrade, or an address that has to be decoded
)

// Parse reads the head of a request (RFC 9112 section 3 and 5) from the beginning of b, and returns its length where it is plain.
func Parse(b []byte) (r Request, length int, v Verdict) {
	end := bytes.Index(b, crlf2)
	if end < 0 {
		// What cannot become plain any more is not waited for.
		if len(b) >= MaxHead || len(b) >= len(get) && !bytes.HasPrefix(b, get) && !bytes.HasPrefix(b, head) {
			return r, 0, Other
		}
		return r, 0, More
	}
	length = end + len(crlf2)
	line, fields, _ := bytes.Cut(b[:end+len(crlf)], crlf)
	if length > MaxHead || !r.requestLine(line) {
		return r, 0, Other
	}
	hosts := 0
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, crlf)
		if !r.field(field, &hosts) {
			return r, 0, Other
		}
	}
	if hosts != 1 {
		return r, 0, Other
	}
	return r, length, Plain
}

var (
	crlf    = []byte("\r\n")
	crlf2   = []byte("\r\n\r\n")
	get     = []byte("GET ")
	head    = []byte("HEAD ")
	version = []byte(" HTTP/1.1")
)

// requestLine reads the first line, and tells whether it is plain.
func (r *Request) requestLine(line []byte) bool {
	target, ok := bytes.CutSuffix(line, version)
	if !ok {
		return false
	}
	if rest, is := bytes.CutPrefix(target, get); is {
		target = rest
	} else if rest, is := bytes.CutPrefix(target, head); is {
		target, r.Head = rest, true
	} else {
		return false
	}
	r.Path, _, _ = bytes.Cut(target, []byte("?"))
	if len(target) == 0 || target[0] != '/' {
		return false
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return bytes.IndexByte(r.Path, '%') < 0
}

// field reads a header field, and tells whether it is plain. Fields that ask for nothing here are passed over.
func (r *Request) field(line []byte, hosts *int) bool {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if !token[c] {
			return false
		}
	}
	value = bytes.Trim(value, " \t")
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	switch len(name) { // most fields are told by their length alone
	case 4: // Host
		if equal(name, "host") {
			*hosts++
			return len(value) > 0
		}
	case 5: // Range
		if equal(name, "range") {
			return once(&r.Range, value)
		}
	case 6: // Expect
		return !equal(name, "expect")
	case 7: // Upgrade
		return !equal(name, "upgrade")
	case 8: // If-Range, If-Match
		if equal(name, "if-range") {
			return once(&r.IfRange, value)
		}
		return !equal(name, "if-match")
	case 10: // Connection
		if equal(name, "connection") {
			r.Close = r.Close || equal(value, "close")
			return equal(value, "close") || equal(value, "keep-alive")
		}
	case 13: // If-None-Match
		if equal(name, "if-none-match") {
			return once(&r.IfNoneMatch, value)
		}
	case 14: // Content-Length
		return !equal(name, "content-length") || string(value) == "0"
	case 17: // Transfer-Encoding, If-Modified-Since
		return !equal(name, "transfer-encoding")
	case 19: // If-Unmodified-Since
		return !equal(name, "if-unmodified-since")
	}
	return true
}

func once(to *[]byte, value []byte) bool {
	if *to != nil || len(value) == 0 {
		return false
	}
	*to = value
	return true
}

// equal compares with a word in small letters, whatever the case of b.
func equal(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// token tells which bytes a field's name may have (RFC 9110 section 5.6.2).
var token = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// ParseRange reads a Range field that asks for one part of a file of the size (RFC 9110 section 14.1.2): bytes=0-99, bytes=100- or bytes=-50. It is not
// ok for any other, and for one that the file does not have.
func ParseRange(value []byte, size int64) (from, length int64, ok bool) {
	spec, ok := bytes.CutPrefix(value, []byte("bytes="))
	first, last, dash := bytes.Cut(spec, []byte("-"))
	if !ok || !dash {
		return 0, 0, false
	}
	a, okA := number(first)
	z, okZ := number(last)
	switch {
	case okA && okZ && a <= z && a < size:
		return a, min(z, size-1) - a + 1, true
	case okA && len(last) == 0 && a < size:
		return a, size - a, true
	case len(first) == 0 && okZ && z > 0 && size > 0:
		z = min(z, size)
		return size - z, z, true
	}
	return 0, 0, false
}

func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}
