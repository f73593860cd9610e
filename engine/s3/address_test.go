package s3

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]address{
		"s3://films":                                 {bucket: "films"},
		"s3://films/":                                {bucket: "films"},
		"s3://films/a/b?region=eu-north-1":           {bucket: "films", prefix: "a/b/", region: "eu-north-1"},
		"s3://films/a%20b/":                          {bucket: "films", prefix: "a b/"},
		"s3://K:s%2Fcr+t@films/a?region=x1":          {bucket: "films", prefix: "a/", key: "K", secret: "s/cr+t", region: "x1"},
		"s3://films?endpoint=http://127.0.0.1:9000/": {bucket: "films", endpoint: "http://127.0.0.1:9000", pathStyle: true},
		"s3://films?endpoint=https://s3.example.org&path_style=false": {bucket: "films", endpoint: "https://s3.example.org"},
		"s3://films?path_style=true&part_mb=64":                       {bucket: "films", pathStyle: true, partBytes: 64 << 20},
	} {
		if got, err := parseAddress(text); err != nil || got != want {
			t.Errorf("%s: got %+v (%v), want %+v", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"":                                       "s3://",
		"films":                                  "s3://",
		"http://films":                           "s3://",
		"s3:films":                               "s3://",
		"s3://":                                  "bucket",
		"s3://a":                                 "bucket",
		"s3://fi lms":                            "read",
		"s3://films:9000/a":                      "bucket",
		"s3://films/a#b":                         "#",
		"s3://films/a//b":                        "empty parts",
		"s3://films/../b":                        "dots",
		"s3://films/a/./b":                       "dots",
		"s3://films/a%0ab":                       "control",
		"s3://films/" + strings.Repeat("x", 401): "400",
		"s3://s3cr3t@films":                      "secret",
		"s3://:s3cr3t@films":                     "secret",
		"s3://K:s3cr3t/s3cr3t@films":             "percent",
		"s3://K:s3cr3t%zz@films":                 "percent",
		"s3://films?regoin=eu":                   "regoin",
		"s3://films?region=EU":                   "EU",
		"s3://films?region=a&region=b":           "more than once",
		"s3://films?region=%zz":                  "settings",
		"s3://films?endpoint=films":              "endpoint",
		"s3://films?endpoint=ftp://a":            "endpoint",
		"s3://films?endpoint=http://a/b":         "endpoint",
		"s3://films?endpoint=http://K:S@a":       "endpoint",
		"s3://films?path_style=yes":              "yes",
		"s3://films?part_mb=4":                   "part_mb",
		"s3://films?part_mb=x":                   "part_mb",
	} {
		_, err := Open(text, Options{})
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got %v, want one of kind %q that says %q and no secret", text, err, bijou.Invalid, says)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{"s3://films", "s3://K:S@films/a/b?region=eu&endpoint=http://h:1&path_style=true&part_mb=9", "s3://films/%2e%2e/", "s3://[::1]:9/a", "s3://films?a=b;c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("%q: got %v, want one of kind %q", text, err, bijou.Invalid)
			}
			return
		}
		if a.bucket == "" || a.prefix != "" && !strings.HasSuffix(a.prefix, "/") || strings.HasPrefix(a.prefix, "/") || (a.key == "") != (a.secret == "") || len(a.prefix) > maxPrefix+1 {
			t.Errorf("%q: got %+v", text, a)
		}
	})
}

func TestWhatTheServerSaysIsASentenceOfOneKind(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   bijou.Kind
		says   string
	}{
		{404, "NoSuchKey", bijou.NotFound, "none"},
		{404, "NoSuchBucket", bijou.Unavailable, "make it"},
		{403, "AccessDenied", bijou.Denied, "key"},
		{403, "SignatureDoesNotMatch", bijou.Denied, "key"},
		{403, "InvalidAccessKeyId", bijou.Denied, "key"},
		{400, "ExpiredToken", bijou.Denied, "key"},
		{403, "RequestTimeTooSkewed", bijou.Denied, "clock"},
		{400, "AuthorizationHeaderMalformed", bijou.Invalid, "region"},
		{301, "PermanentRedirect", bijou.Invalid, "region"},
		{400, "InvalidArgument", bijou.Invalid, "refused"},
		{412, "PreconditionFailed", bijou.Conflict, "changed"},
		{409, "ConditionalRequestConflict", bijou.Conflict, "changed"},
		{409, "OperationAborted", bijou.Unavailable, "cannot answer now"},
		{503, "SlowDown", bijou.Unavailable, "cannot answer now"},
		{500, "InternalError", bijou.Unavailable, "cannot answer now"},
		{429, "TooManyRequests", bijou.Unavailable, "cannot answer now"},
		{400, "RequestTimeout", bijou.Unavailable, "cannot answer now"},
		{400, "BadDigest", bijou.Unavailable, "other bytes"},
		{501, "NotImplemented", bijou.Unsupported, "does not know how"},
		{507, "XMinioStorageFull", bijou.Exhausted, "space"},
		{400, "EntityTooLarge", bijou.Exhausted, "space"},
	} {
		server := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/k") && r.Method != http.MethodHead {
				refuse(w, c.status, c.code)
				return
			}
			pass.ServeHTTP(w, r)
		})
		s := open(t, fresh(server), Options{})
		s.patience = quick
		_, _, got := s.Get(t.Context(), "k", 0, -1)
		_, put := s.Put(t.Context(), "k", strings.NewReader("x"))
		for what, err := range map[string]error{"get": got, "put": put} {
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret@") || bijou.Sentence(err) == err.Error() {
				t.Errorf("%s answered by %d %s: got %v, want one of kind %q that says %q", what, c.status, c.code, err, c.want, c.says)
			}
		}
	}
}

func TestABucketThatIsNotThereIsToldWithTheFix(t *testing.T) {
	s := open(t, strings.Replace(fresh(serve(t)), testBucket, "elsewhere", 1), Options{})
	s.patience = quick
	err := s.Check(t.Context())
	if !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), "elsewhere") || !strings.Contains(err.Error(), "make it") {
		t.Errorf("check: got %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("stat: got %v, want one of kind %q: the blob may well be", err, bijou.Unavailable)
	}
	if _, err := s.Version(t.Context()); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("version: got %v, want one of kind %q", err, bijou.Unavailable)
	}
}

func TestAKeyThatNobodySaysIsAskedFor(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	none := t.TempDir() + "/none"
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if err := open(t, "s3://films/?region=eu-north-1", Options{}).Check(t.Context()); !errors.Is(err, bijou.Denied) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no key: got %v, want one of kind %q that says where it is looked for", err, bijou.Denied)
	}
	if err := open(t, "s3://key:secret@films/", Options{}).Check(t.Context()); !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), "region") {
		t.Errorf("no region: got %v, want one of kind %q that asks for it", err, bijou.Invalid)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if err := open(t, "s3://"+testBucket+"/?endpoint="+serve(t), Options{}).Check(t.Context()); err != nil {
		t.Errorf("a key by the environment: %v", err)
	}
}

func TestAPrefixIsMarkedOnceAndThatOfANewerProgramIsLeftAlone(t *testing.T) {
	writes, foreign := 0, false
	server := between(t, serve(t), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/"+markKey) {
			if writes++; foreign {
				pass.ServeHTTP(w, r)
				return
			}
			if r.Header.Get("If-None-Match") != "*" {
				t.Errorf("the mark is set without the condition that there is none")
			}
			if writes == 1 { // another process is quicker
				pass.ServeHTTP(httptest.NewRecorder(), r.Clone(r.Context()))
				refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
				return
			}
		}
		pass.ServeHTTP(w, r)
	})
	address := fresh(server)
	for range 3 {
		if err := open(t, address, Options{}).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if writes != 1 {
		t.Errorf("the mark was set %d times, want once", writes)
	}
	foreign = true
	for mark, says := range map[string]string{"2\n": "newer", "hello": "choose another prefix", "": "choose another prefix", "-1": "choose another prefix"} {
		s := open(t, address, Options{})
		c, err := s.client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &s.at.bucket, Key: aws.String(s.at.prefix + markKey), Body: strings.NewReader(mark)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, bijou.Unsupported) || !strings.Contains(err.Error(), says) {
			t.Errorf("a mark that says %q: got %v, want one of kind %q that says %q", mark, err, bijou.Unsupported, says)
		}
	}
}

func TestObjectsThatAreNoBlobsAreLeftOutOfLists(t *testing.T) {
	s := open(t, fresh(serve(t)), Options{})
	c, err := s.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/", "a/b c", "a/.x"} {
		if _, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &s.at.bucket, Key: aws.String(s.at.prefix + key), Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a/a", "a/z"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	for limit := 1; limit < 3; limit++ {
		bs, err := s.List(t.Context(), "", "", limit)
		if err != nil || len(bs) != limit || bs[0].Key != "a/a" || bs[limit-1].Key != []string{"a/a", "a/z"}[limit-1] {
			t.Errorf("at most %d: got %v (%v)", limit, bs, err)
		}
	}
}
