package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const plain = "GET /g/T/a/1.m4s?CMCD=bl%3D4 HTTP/1.1\r\nHost: box.example:8081\r\nRange: bytes=0-9\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"

func TestAPlayersRequestIsPlain(t *testing.T) {
	r, n, v := Parse([]byte(plain + "GET /next"))
	if v != Plain || n != len(plain) || r.Head || string(r.Path) != "/g/T/a/1.m4s" || string(r.Range) != "bytes=0-9" || r.Close || r.IfRange != nil {
		t.Errorf("got %+v, %d, %v", r, n, v)
	}
	r, _, v = Parse([]byte("HEAD /x HTTP/1.1\r\nhost:a\r\nCONNECTION: Close\r\nIf-None-Match: \"a\"\r\nif-range: \"b\"\r\n\r\n"))
	if v != Plain || !r.Head || !r.Close || string(r.IfNoneMatch) != `"a"` || string(r.IfRange) != `"b"` {
		t.Errorf("got %+v, %v", r, v)
	}
}

func TestAHeadThatGoesOnIsWaitedFor(t *testing.T) {
	for i := range len(plain) - 1 {
		if _, _, v := Parse([]byte(plain[:i])); v != More {
			t.Fatalf("the first %d bytes: got %v, want more", i, v)
		}
	}
	if _, _, v := Parse([]byte("GET /" + strings.Repeat("a", MaxHead))); v != Other {
		t.Errorf("a head without end: got %v, want other", v)
	}
}

func TestWhatIsNotPlainIsLeftToOthers(t *testing.T) {
	for _, text := range []string{
		"POST /x HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /x HTTP/1.1\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "GET /x HTTP/1.1\nHost: a\n\n\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nIf-Match: \"a\"\r\n\r\n", "GET /x#f HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		if _, _, v := Parse([]byte(text)); v != Other {
			t.Errorf("%q: got %v, want other", text, v)
		}
	}
}

// What is taken for plain, the standard library understands in the same way.
func FuzzParse(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nX"))
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nA:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, n, v := Parse(raw)
		if v != Plain {
			return
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		std, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q is plain, and net/http says %v", raw, err)
		}
		if left := in.Buffered(); len(raw)-left != n && len(raw) < 4000 {
			t.Errorf("%q: the head has %d bytes, net/http reads %d", raw, n, len(raw)-left)
		}
		if std.URL.Path != string(r.Path) || (std.Method == "HEAD") != r.Head || std.ContentLength != 0 || std.Header.Get("Range") != string(r.Range) ||
			std.Header.Get("If-None-Match") != string(r.IfNoneMatch) || std.Header.Get("If-Range") != string(r.IfRange) || std.Close != r.Close {
			t.Errorf("%q: got %+v, net/http %s %s %v", raw, r, std.Method, std.URL.Path, std.Header)
		}
	})
}

// What is taken for a range, http.ServeContent answers with the same bytes.
func TestARangeIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 50).Draw(t, "size")
		part := rapid.OneOf(rapid.StringMatching(`[0-9]{0,3}`), rapid.SampledFrom([]string{"", "-1", " 1", "9999999999999999999", "0x1"}))
		value := "bytes=" + part.Draw(t, "first") + "-" + part.Draw(t, "last")
		from, n, ok := ParseRange([]byte(value), int64(size))
		if !ok {
			return
		}
		rec := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/", nil)
		req.Header.Set("Range", value)
		http.ServeContent(rec, req, "", time.Time{}, bytes.NewReader(make([]byte, size)))
		want := fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, size)
		if got := rec.Header().Get("Content-Range"); got != want || rec.Code != http.StatusPartialContent {
			t.Errorf("%s of %d: got %s, net/http %s (%d)", value, size, want, got, rec.Code)
		}
	})
	for _, value := range []string{"bytes=0-1,3-4", "bytes=5-1", "bytes=-0", "items=0-1", "bytes=10-", "bytes", ""} {
		if _, _, ok := ParseRange([]byte(value), 10); ok {
			t.Errorf("%q: taken for one part of ten bytes", value)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	raw := []byte("GET /g/" + strings.Repeat("T", 190) + "/ast_abcdefgh/v720/12.m4s HTTP/1.1\r\nHost: box.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nOrigin: http://127.0.0.1:8080\r\nReferer: http://127.0.0.1:8080/\r\nConnection: keep-alive\r\n\r\n")
	for b.Loop() {
		if _, _, v := Parse(raw); v != Plain {
			b.Fatal(v)
		}
	}
}
