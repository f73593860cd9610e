package app

import (
	"context"
	"log/slog"
	"time"

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
	o := newOpener(ctx, c, data)
	if err := o.open(storeAt{"operators", c.Stores.Operators}); err != nil {
		data.close()
		return nil, err
	}
	token, err := trust.Token(data.file("operator.token"))
	if err != nil {
		o.s.close()
		data.close()
		return nil, err
	}
	room := openUsers(c, o.s.operators, token, "", log)
	client, leave := within(room.Audit, log, room.Routes()...)
	return &Users{Client: operators.NewClient(client), close: func() {
		leave()
		o.s.close()
		data.close()
	}}, nil
}
