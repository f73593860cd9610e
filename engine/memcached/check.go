package memcached

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bijou"
	"bijou/wire/memcache"
)

// checkPatience is how long a check waits for the servers.
const checkPatience = 5 * time.Second

// The oldest version that has what is asked of it.
const leastMajor, leastMinor = 1, 6

// Check returns nil where all servers answer and are new enough. It fails with Unavailable for one that does not answer, and with Unsupported for
// one that is older than 1.6.
func (c *Cache) Check(ctx context.Context) error {
	_, err := c.Version(ctx)
	return err
}

// Version returns what the servers say they are. It fails as Check does.
func (c *Cache) Version(ctx context.Context) (string, error) {
	var says []string
	for _, s := range c.servers {
		v, err := c.version(ctx, s)
		if err != nil {
			return "", err
		}
		says = append(says, fmt.Sprintf("memcached %s at %s", v, s.address))
	}
	return strings.Join(says, ", "), nil
}

// version asks one server, whether it was left alone or not.
func (c *Cache) version(ctx context.Context, s *server) (string, error) {
	one := &share{server: s, link: s.links[0], batch: newBatch(memcache.AppendVersion(nil), 0, 1)}
	one.batch.untagged = true
	if err := c.send(one); err != nil {
		return "", unavailable(s.address, err)
	}
	over := time.NewTimer(checkPatience)
	defer over.Stop()
	select {
	case <-one.batch.done:
	case <-over.C:
		one.batch.left.Store(true)
		return "", unavailable(s.address, fmt.Errorf("no answer within %s", checkPatience))
	case <-ctx.Done():
		one.batch.left.Store(true)
		return "", unavailable(s.address, ctx.Err())
	}
	a := one.batch.answers[0]
	switch {
	case one.batch.err != nil:
		return "", unavailable(s.address, one.batch.err)
	case a.Status != memcache.Version:
		return "", unavailable(s.address, errors.New(a.Text))
	case !newEnough(a.Text):
		return "", fmt.Errorf("memcached at %s is version %.40q, and %d.%d is needed at least: install a later one: %w", s.address, a.Text, leastMajor, leastMinor, bijou.Unsupported)
	}
	return a.Text, nil
}

// newEnough tells whether a version such as 1.6.18 has the meta protocol as it is spoken here.
func newEnough(version string) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return err == nil && err2 == nil && (major > leastMajor || major == leastMajor && minor >= leastMinor)
}
