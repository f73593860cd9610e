package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"bijou"
)

type fuzzBody struct {
	ID    string         `path:"id" json:"id"`
	Name  string         `json:"name" minLength:"1"`
	Count int8           `json:"count,omitempty" minimum:"0"`
	Tags  []string       `json:"tags,omitempty" maxItems:"3"`
	More  map[string]int `json:"more,omitempty"`
	Raw   []byte         `json:"raw,omitempty"`
	Child *fuzzBody2     `json:"child,omitempty"`
}

type fuzzBody2 struct {
	Next []fuzzBody2 `json:"next,omitempty"`
	F    float64     `json:"f,omitempty"`
}

// FuzzRequestBody asks that a body is either refused as Invalid, in one line, or read so that the client would write the same again.
func FuzzRequestBody(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"name":"a"}`, `{"name":"a","count":3,"tags":["x"],"more":{"a":1},"raw":"aGk=","child":{"next":[{"f":1e3}]}}`,
		`{"name":"a","id":"b"}`, `{"name":"a","name":"b"}`, `{"name":"a","count":300}`, `{"name":"a","raw":"%"}`, `{"name":"a","child":null}`,
		`[[[[[[`, `{"name":"\ud800"}`, `{"name":1e999}`, "null", `{"more":{"":99999999999999999999}}`, strings.Repeat("[", 200),
	} {
		f.Add([]byte(seed))
	}
	p, err := newPlan("POST", "/x/{id}", reflect.TypeFor[fuzzBody]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in fuzzBody
		if err := p.decodeBody(raw, reflect.ValueOf(&in).Elem()); err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("body %q: got %v, want invalid", raw, err)
			}
			return
		}
		if in.ID != "" || in.Name == "" || in.Count < 0 || len(in.Tags) > 3 {
			t.Errorf("body %q: got %+v, which the declaration does not allow", raw, in)
		}
		again, err := p.encodeBody(reflect.ValueOf(in))
		if err != nil {
			t.Fatalf("body %q: write it again: %v", raw, err)
		}
		var back fuzzBody
		if err := p.decodeBody(again, reflect.ValueOf(&back).Elem()); err != nil {
			t.Fatalf("body %q, written again as %s: got %v", raw, again, err)
		}
		once, _ := json.Marshal(in) // what encodeBody wrote a moment ago
		twice, _ := json.Marshal(back)
		if !bytes.Equal(once, twice) {
			t.Errorf("body %q: got %s after one round and %s after two", raw, once, twice)
		}
	})
}

// FuzzEvents asks that reading a stream ends, with what each said or with an error, and that no event holds more than was sent.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		"", "data: {}\n\n", "event: end\ndata: {}\n\n", ": comment\n\ndata: a\ndata: b\n\n", "data\n\n", "data:\r\n\r\n", "event: x\n\n",
		"\n\n\n", "data: half", "id: 1\nretry: 2\ndata: x\n\n", "\xef\xbb\xbfdata: x\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		total := 0
		err := readEvents(bytes.NewReader(sent), func(name string, data []byte) error {
			total += len(name) + len(data)
			if strings.Contains(name, "\n") {
				t.Errorf("stream %q: got event name %q", sent, name)
			}
			return nil
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) || total > len(sent) {
			t.Errorf("stream %q: got %d bytes and %v, want an unexpected end", sent, total, err)
		}
	})
}

func TestAnEventThatIsTooLongIsRefused(t *testing.T) {
	err := readEvents(io.MultiReader(strings.NewReader("data: "), endless{}), func(string, []byte) error { return nil })
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want a line too long", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
