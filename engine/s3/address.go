package s3

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// address is where blobs lie, and how to get there.
type address struct {
	bucket, prefix string // the prefix is empty, or ends in a slash
	key, secret    string // empty where the usual variables and files of AWS say them
	region         string // empty where those do
	endpoint       string // empty for AWS itself
	pathStyle      bool   // the bucket stands in the path, and not in the host's name
	partBytes      int64  // of an upload in parts; 0 where nothing is said
}

const (
	// maxPrefix leaves room below S3's bound of 1024 bytes for the longest key of a blob.
	maxPrefix = 400
	// S3 takes parts of 5 MiB to 5 GiB, and 10,000 of them. A part is kept in memory while it goes out.
	minPartMB, maxPartMB = 5, 5120
	maxParts             = 10_000
)

var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

const form = "write s3://BUCKET/PREFIX?region=eu-north-1, or s3://KEY:SECRET@BUCKET/PREFIX?endpoint=https://HOST:PORT"

// parseAddress reads an address. What it says of a bad one repeats neither key nor secret.
func parseAddress(text string) (a address, err error) {
	bad := func(format string, args ...any) (address, error) {
		return address{}, fmt.Errorf("the address of S3 %s: %s: %w", fmt.Sprintf(format, args...), form, bijou.Invalid)
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("cannot be read; a slash, a plus sign or a percent sign in the secret has to be percent-encoded")
	}
	if u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return bad("does not begin with s3://, or has a # in it")
	}
	if u.Port() != "" || !bucketName.MatchString(u.Host) {
		return bad("names no bucket, which has 3 to 63 letters, digits, dots and hyphens")
	}
	a.bucket = u.Host
	if u.User != nil {
		a.key = u.User.Username()
		a.secret, _ = u.User.Password()
		if a.key == "" || a.secret == "" {
			return bad("has a key without a secret, or a secret without a key")
		}
	}
	if a.prefix = strings.Trim(u.Path, "/"); a.prefix != "" {
		a.prefix += "/"
	}
	if len(a.prefix) > maxPrefix || strings.Contains("/"+a.prefix, "//") && a.prefix != "" || hasDots(a.prefix) || strings.ContainsFunc(a.prefix, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return bad("has a prefix that is longer than %d bytes, or has empty parts, dots alone or control characters in it", maxPrefix)
	}
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("has settings that cannot be read")
	}
	for name, values := range settings {
		if len(values) != 1 {
			return bad("says %.40q more than once", name)
		}
		if err := a.set(name, values[0]); err != nil {
			return bad("%s", err)
		}
	}
	if _, said := settings["path_style"]; !said {
		a.pathStyle = a.endpoint != "" // what most servers but AWS understand
	}
	return a, nil
}

// hasDots tells whether a part of the path is . or .., which servers and programs between read as a folder.
func hasDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "." || part == ".." })
}

// set takes one setting. Its errors go on from the address.
func (a *address) set(name, value string) error {
	switch name {
	case "region":
		if a.region = value; !regionName.MatchString(value) {
			return fmt.Errorf("says region=%.40q, which is none", value)
		}
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("says an endpoint that is not http or https, a host and perhaps a port")
		}
		a.endpoint = u.Scheme + "://" + u.Host
	case "path_style":
		if value != "true" && value != "false" {
			return fmt.Errorf("says path_style=%.40q: it is true or false", value)
		}
		a.pathStyle = value == "true"
	case "part_mb":
		n, err := strconv.Atoi(value)
		if err != nil || n < minPartMB || n > maxPartMB {
			return fmt.Errorf("says part_mb=%.40q: it is a number from %d to %d", value, minPartMB, maxPartMB)
		}
		a.partBytes = int64(n) << 20
	default:
		return fmt.Errorf("has a setting %.40q that nobody knows: there are region, endpoint, path_style and part_mb", name)
	}
	return nil
}

// String returns the address without what is secret.
func (a address) String() string { return "s3://" + a.bucket + "/" + a.prefix }

// server names what is spoken to, for a person.
func (a address) server() string {
	if a.endpoint != "" {
		return a.endpoint
	}
	return "AWS"
}
