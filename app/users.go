package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"bijou"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/members/operators"
	"bijou/service/members/signon"
)

// Where the browser comes back to from the sign-on provider: who runs the service, and members.
const (
	operatorSignOnPage = "/operate/signed-on"
	memberSignOnPage   = "/signed-on"
)

// provider is the service's side of a sign-on provider; nil where there is none.
func provider(c signon.Config, redirect string) *signon.Provider {
	if !c.On() {
		return nil
	}
	return signon.New(signon.Deps{Config: c, Redirect: redirect, Now: time.Now})
}

// operatorStores keep who runs the service, and what they did.
type operatorStores interface {
	bijou.OperatorStore
	bijou.OperatorTokenStore
	bijou.AuditStore
}

// openUsers puts together the part of the members room that knows who runs the service. listening is where the service listens, or nothing.
func openUsers(c Config, store operatorStores, token, listening string, log *slog.Logger) *operators.Service {
	address := c.at(listening)
	return operators.New(operators.Deps{
		Operators: store, Tokens: store, Secret: token, Address: address, Now: time.Now, Config: c.Operators,
		SignOn: provider(c.Operators.OIDC, address+operatorSignOnPage),
		Audit:  operators.NewAudit(operators.AuditDeps{Store: store, Config: c.Operators, Now: time.Now, Log: log}),
	})
}

// Users is what the command line asks of who runs the service: of the running service, or of a data directory where none runs.
type Users struct {
	*operators.Client
	close func()
}

// Close lets go of the data directory.
func (u *Users) Close() { u.close() }

// OpenUsers returns the users of the service that runs on the data directory, or else opens the directory itself. It fails with NotFound where
// that holds no library.
func OpenUsers(ctx context.Context, c Config, log *slog.Logger) (*Users, error) {
	if h, ok := runs(ctx, c); ok {
		client, err := operatorClient(c, h)
		if err != nil {
			return nil, err
		}
		return &Users{Client: operators.NewClient(client), close: client.Close}, nil
	}
	if err := mustHold(c.DataDir); err != nil {
		return nil, err
	}
	data, err := openDataDir(c.DataDir, holderUser)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.OpenOperators(ctx, data.file("sqlite", "operators.db"))
	if err != nil {
		data.close()
		return nil, err
	}
	token, err := trust.Token(data.file("operator.token"))
	if err != nil {
		_ = store.Close() // nothing was written
		data.close()
		return nil, err
	}
	room := openUsers(c, store, token, "", log)
	client, end := within(rpc.Handler(rpc.Deps{Log: log, Audit: room.Audit}, room.Routes()...))
	return &Users{Client: operators.NewClient(client), close: func() {
		end()
		_ = store.Close() // what was acknowledged is on disk already
		data.close()
	}}, nil
}

// within returns a client of methods in this process, for the command line on a data directory that no service holds: what it asks is permitted,
// checked and audited as if it came to a service.
func within(h http.Handler) (client *rpc.Client, end func()) {
	local, err := json.Marshal(bijou.LocalCaller)
	if err != nil {
		panic(err) // a caller is plain text
	}
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // the client hears of it
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set(rpc.CallerHeader, string(local))
			h.ServeHTTP(w, r)
		}),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // it ends when it is closed
	}()
	client = rpc.NewClient("http://within", rpc.WithHTTP(&http.Client{Transport: &http.Transport{DialContext: l.dial}}))
	return client, func() {
		client.Close()
		_ = srv.Close() // nobody asks any more
		<-ended
	}
}

// pipes is a listener whose connections come from this process alone.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "within", Net: "pipe"} }
