package s3

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"bijou/test/contract"
)

// serverVariable tells the child that is to be killed where the server is that outlives it.
const serverVariable = "BIJOU_TEST_S3_ADDRESS"

func TestABlobThatWasPutOutlivesAKillOfItsWriterAndNoneIsHalfThere(t *testing.T) {
	address, o := os.Getenv(serverVariable), Options{PartBytes: 64 << 10, Parts: 2}
	if address == "" {
		address = fresh(serve(t))
		t.Setenv(serverVariable, address)
	}
	size := func(n int) int { return n % 7 * 50_000 }
	contract.Kill(t, 3, func(t *testing.T, _ string, ack func(string)) {
		s := open(t, address, o)
		for w := range 3 {
			go func() {
				for n := w; ; n += 3 {
					if _, err := s.Put(t.Context(), fmt.Sprint("k/", n), bytes.NewReader(content(n, size(n)))); err != nil {
						panic(err)
					}
					ack(fmt.Sprint(n))
				}
			}()
		}
		select {}
	}, func(t *testing.T, _ string, acked []string) {
		s := open(t, address, Options{Now: func() time.Time { return time.Now().Add(leftOver + time.Hour) }})
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := unfinished(t, s); n > 0 {
			t.Errorf("%d uploads of the killed are kept when they are old, want none", n)
		}
		there := map[int]bool{}
		bs, err := s.List(t.Context(), "", "", 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bs {
			var n int
			if _, err := fmt.Sscanf(b.Key, "k/%d", &n); err != nil {
				t.Fatalf("key %s: %v", b.Key, err)
			}
			there[n] = true
			if got, err := wholeBlob(s, b.Key); err != nil || !bytes.Equal(got, content(n, size(n))) {
				t.Errorf("blob %s: got %d bytes (%v), want the %d that were put", b.Key, len(got), err, size(n))
			}
		}
		for _, n := range contract.Numbered(t, acked) {
			if !there[n] {
				t.Errorf("acknowledged blob %d is not there", n)
			}
		}
	})
}
