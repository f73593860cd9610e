package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/members"
	"bijou/service/playback"
	"bijou/service/pulse"
	"bijou/service/steering"
)

// operatorClient reaches the running service with the operator's token.
func operatorClient(c Config, h holder) (*rpc.Client, error) {
	b, err := os.ReadFile(filepath.Join(c.DataDir, "operator.token"))
	if err != nil {
		return nil, fmt.Errorf("the service at %s runs, but its operator's token in %s cannot be read (%v): become the user who started it: %w",
			h.Address, c.DataDir, rootCause(err), bijou.Denied)
	}
	return rpc.NewClient(h.Address, rpc.WithToken(strings.TrimSpace(string(b)))), nil
}

// Operator is what the command line asks of a running service.
type Operator struct {
	Members  *members.Client
	Steering *steering.Client
	Playback *playback.Client
	Pulse    *pulse.Client
	client   *rpc.Client
}

// CreateToken returns a token by which one machine may join.
func (o *Operator) CreateToken(ctx context.Context, in NewToken) (JoinToken, error) {
	return createToken.Do(ctx, o.client, in)
}

// OpenOperator returns the service that runs on the data directory. It fails with Unavailable where none does.
func OpenOperator(ctx context.Context, c Config) (*Operator, error) {
	h, ok := runs(ctx, c)
	if !ok {
		if err := mustHold(c.DataDir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("no service runs on data directory %s: start it with bijou up, or name its directory with --data-dir: %w", c.DataDir, bijou.Unavailable)
	}
	client, err := operatorClient(c, h)
	if err != nil {
		return nil, err
	}
	return &Operator{
		Members: members.NewClient(client), Steering: steering.NewClient(client), Playback: playback.NewClient(client), Pulse: pulse.NewClient(client), client: client,
	}, nil
}

// runs returns the service that runs on the data directory, where one does.
func runs(ctx context.Context, c Config) (holder, bool) {
	h, ok := heldNow(c.DataDir)
	return h, ok && h.Address != "" && answers(ctx, h.Address)
}

// answers tells whether a service is alive at the address.
func answers(ctx context.Context, address string) bool {
	status, _, err := page(ctx, address+"/livez")
	return err == nil && status == http.StatusOK
}

// partsOf returns how the parts and the stores are of the service at the address, one a line.
func partsOf(ctx context.Context, address string) (string, error) {
	_, text, err := page(ctx, address+"/readyz?verbose")
	return text, err
}

// page asks for one of the pages by which a service tells how it is.
func page(ctx context.Context, address string) (status int, text string, err error) {
	const most = 64 << 10 // bytes
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, most))
	return res.StatusCode, string(b), err
}
