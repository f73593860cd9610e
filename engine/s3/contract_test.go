package s3

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/test/contract"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func TestTheBucketKeepsTheContractOfBlobStore(t *testing.T) {
	contract.BlobStore(t, func(t *testing.T) bijou.BlobStore { return open(t, fresh(serve(t)), Options{}) })
}

const testBucket = "films"

// serve starts an S3 server in this process, with a bucket, and returns its address. It compares no checksums; it would keep them like words that
// are said beside an object, also beside the next one under its key, and so does not get to see them. Nor does it know conditions for reading.
func serve(t testing.TB) string {
	t.Helper()
	kept := s3mem.New()
	if err := kept.CreateBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	s3 := gofakes3.New(kept).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("X-Amz-Checksum-Crc32c")
		s3.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

var prefixes atomic.Int64

// fresh returns the address of a prefix that nobody else uses.
func fresh(server string) string {
	return fmt.Sprintf("s3://key:secret@%s/p%d?region=eu-north-1&endpoint=%s", testBucket, prefixes.Add(1), server)
}

func open(t testing.TB, address string, o Options) *Store {
	t.Helper()
	s, err := Open(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTheBucketKeepsTheContractOfInbox(t *testing.T) { checkInbox(t, serve(t)) }

func checkInbox(t *testing.T, server string) {
	contract.Inbox(t, func(t *testing.T) contract.TestInbox {
		i, err := OpenInbox(fresh(server))
		if err != nil {
			t.Fatal(err)
		}
		c, err := i.client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return contract.TestInbox{
			Inbox: i,
			Put: func(name, content string) {
				_, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &i.at.bucket, Key: aws.String(i.at.prefix + name), Body: strings.NewReader(content)})
				if err != nil {
					t.Fatal(err)
				}
			},
			Remove: func(name string) {
				if _, err := c.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: &i.at.bucket, Key: aws.String(i.at.prefix + name)}); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
