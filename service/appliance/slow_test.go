package appliance_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou"
	"bijou/service/appliance"
	"bijou/wire/grant"
)

// inEachDress runs f with a box that speaks clear text, and with one that speaks TLS.
func inEachDress(t *testing.T, store bijou.BlobStore, f func(t *testing.T, b *box, dial func() net.Conn), change ...func(*appliance.Deps)) {
	t.Run("clear", func(t *testing.T) {
		b := boxOf(t, store, change...)
		f(t, b, func() net.Conn { return b.dial(t) })
	})
	t.Run("TLS", func(t *testing.T) {
		files := newCertificate(t, "box.example")
		b := boxOf(t, store, append(change, func(d *appliance.Deps) { d.Config.TLSCert, d.Config.TLSKey = files.cert, files.key })...)
		f(t, b, func() net.Conn {
			c, err := tls.Dial("tcp", strings.Replace(strings.TrimPrefix(b.Address(), "https://"), "*", "127.0.0.1", 1), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		})
	})
}

// cutOff tells whether err is what one sees whose connection was ended by the other side.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestAHeadBeyondTheBoundIsRefused(t *testing.T) {
	inEachDress(t, newOrigin(t), func(t *testing.T, b *box, dial func() net.Conn) {
		path := grant.Base(token(t, nil), "ast_1") + "v720/1.m4s"
		for what, bomb := range map[string]string{
			"one long field": "X-Bomb: " + strings.Repeat("a", 64<<10) + "\r\n",
			"many fields":    strings.Repeat("X-Bomb: boom\r\n", 64<<10/14),
		} {
			c := dial()
			// What does not fit in the buffers may meet a closed connection: the answer tells.
			_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: box.example\r\n"+bomb+"\r\n")
			resp, readErr := http.ReadResponse(bufio.NewReader(c), nil)
			if readErr != nil {
				if !cutOff(readErr) {
					t.Errorf("%s: written %v, answered %v", what, err, readErr)
				}
				continue
			}
			if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%s: answered with %d, want 431", what, resp.StatusCode)
			}
			resp.Body.Close()
		}
		c := dial()
		if resp, _ := say(t, c, bufio.NewReader(c), "GET", path, "X-Long", strings.Repeat("a", 10<<10)); resp.StatusCode != http.StatusOK {
			t.Errorf("a head of 10 KiB: %d, want 200", resp.StatusCode)
		}
	})
}

func TestWhoTakesNothingIsCutOff(t *testing.T) {
	store := newOrigin(t)
	big := make([]byte, 16<<20) // more than the kernel keeps for a connection
	if _, err := store.Put(t.Context(), bijou.AssetID("ast_1").Key("poster.jpg"), bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	inEachDress(t, store, func(t *testing.T, b *box, dial func() net.Conn) {
		path := grant.Base(token(t, nil), "ast_1") + "poster.jpg"
		b.warm(t, path)
		c := dial()
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: box.example\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		defer resp.Body.Close()
		for b.counted(t, "bijou_appliance_connections") > 0 { // nothing is read until the box has given up
			runtime.Gosched()
		}
		if got, err := io.Copy(io.Discard, resp.Body); got >= int64(len(big)) || !cutOff(err) {
			t.Errorf("read %d bytes of %d afterwards, %v; want the connection cut off", got, len(big), err)
		}
	}, func(d *appliance.Deps) {
		d.Patience = appliance.Patience{Head: time.Minute, Grace: 100 * time.Millisecond, Slowest: 1 << 40}
	})
}
