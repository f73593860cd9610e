// Package memcache prints requests of memcached's meta protocol, as the server's protocol.txt describes it from version 1.6 on, and reads the
// answers. Every request carries an opaque token, which comes back with its answer.
package memcache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// MaxKey bounds a key, in bytes.
const MaxKey = 250

// maxLine bounds the line that an answer begins with, in bytes.
const maxLine = 2048

// AppendGet appends a request for a key's value and its CAS number (mg). Where nothing is kept it makes an empty item that lives for so many
// seconds, and tells one caller alone that it won.
func AppendGet(b []byte, key string, opaque uint32, seconds int64) []byte {
	b = append(append(b, "mg "...), key...)
	b = strconv.AppendInt(append(b, " v c N"...), seconds, 10)
	return token(b, opaque)
}

// AppendSet appends a request that keeps the value for so many seconds, if the item's CAS number still is this one (ms).
func AppendSet(b []byte, key string, opaque uint32, value []byte, cas uint64, seconds int64) []byte {
	b = append(append(append(b, "ms "...), key...), ' ')
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = strconv.AppendUint(append(b, " C"...), cas, 10)
	b = strconv.AppendInt(append(b, " T"...), seconds, 10)
	return append(append(token(b, opaque), value...), "\r\n"...)
}

// AppendDelete appends a request that removes the key's item (md).
func AppendDelete(b []byte, key string, opaque uint32) []byte {
	return token(append(append(b, "md "...), key...), opaque)
}

// AppendVersion appends a request for the server's version. Its answer carries no token.
func AppendVersion(b []byte) []byte { return append(b, "version\r\n"...) }

// token ends the request's line.
func token(b []byte, opaque uint32) []byte {
	return append(strconv.AppendUint(append(b, " O"...), uint64(opaque), 10), "\r\n"...)
}

// Status says what an answer is.
type Status string

// The answers that memcached gives.
const (
	Value       Status = "VA"           // a value follows
	Done        Status = "HD"           // done
	Miss        Status = "EN"           // nothing is kept
	NotFound    Status = "NF"           // nothing is kept that could be changed
	NotStored   Status = "NS"           // not kept
	Exists      Status = "EX"           // the CAS number is another
	Version     Status = "VERSION"      // the text is the version
	ServerError Status = "SERVER_ERROR" // the text says what the server could not do; it answers what follows
	Refused     Status = "CLIENT_ERROR" // the text says what is wrong with the request
	Unknown     Status = "ERROR"        // the server does not know such a request
)

// Answer is what the server says to one request.
type Answer struct {
	Status Status
	Value  []byte
	Text   string
	CAS    uint64
	Opaque uint32
	Tagged bool // Opaque came with it
	Won    bool // the item was made for this request: fill it
	Lost   bool // the item was made for another request, and is not filled yet
}

// ErrMalformed is in the error for what is no answer of memcached.
var ErrMalformed = errors.New("not an answer of memcached")

// Read reads one answer. It fails with the reader's own error, which is io.EOF only where nothing of an answer was read, and with ErrMalformed
// for what is none and for a value longer than so many bytes. After a failure what follows cannot be read.
func Read(r *bufio.Reader, longest int) (Answer, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine:
		return Answer{}, fmt.Errorf("a line of more than %d bytes: %w", maxLine, ErrMalformed)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return Answer{}, io.ErrUnexpectedEOF
	case err != nil:
		return Answer{}, err
	}
	line, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended {
		return Answer{}, fmt.Errorf("a line that ends in no CR LF: %w", ErrMalformed)
	}
	word, rest, _ := bytes.Cut(line, []byte(" "))
	a := Answer{Status: Status(word)}
	switch a.Status {
	case Value:
		return a, a.value(r, rest, longest)
	case Done, Miss, NotFound, NotStored, Exists:
		return a, a.flags(rest)
	case Version, ServerError, Refused, Unknown:
		a.Text = string(rest)
		return a, nil
	}
	return Answer{}, fmt.Errorf("%.40q: %w", line, ErrMalformed)
}

// value reads what follows VA: the value's length, flags, and on the next line the value.
func (a *Answer) value(r *bufio.Reader, rest []byte, longest int) error {
	size, flags, _ := bytes.Cut(rest, []byte(" "))
	n, err := number(size, uint64(longest))
	if err != nil {
		return err
	}
	if err := a.flags(flags); err != nil { // before the buffer that it lies in is read on
		return err
	}
	a.Value = make([]byte, n+2)
	if _, err := io.ReadFull(r, a.Value); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	value, ended := bytes.CutSuffix(a.Value, []byte("\r\n"))
	if !ended {
		return fmt.Errorf("a value that ends in no CR LF: %w", ErrMalformed)
	}
	a.Value = value[:len(value):len(value)]
	return nil
}

// flags reads what came with the answer. What was not asked for is passed over.
func (a *Answer) flags(rest []byte) (err error) {
	for len(rest) > 0 && err == nil {
		var flag []byte
		flag, rest, _ = bytes.Cut(rest, []byte(" "))
		if len(flag) == 0 {
			continue
		}
		switch flag[0] {
		case 'c':
			a.CAS, err = number(flag[1:], math.MaxUint64)
		case 'O':
			var n uint64
			n, err = number(flag[1:], math.MaxUint32)
			a.Opaque, a.Tagged = uint32(n), true
		case 'W':
			a.Won = true
		case 'Z':
			a.Lost = true
		}
	}
	return err
}

// number reads digits alone.
func number(digits []byte, most uint64) (uint64, error) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, fmt.Errorf("%.40q is no number: %w", digits, ErrMalformed)
		}
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%.40q is no number up to %d: %w", digits, most, ErrMalformed)
	}
	return n, nil
}
