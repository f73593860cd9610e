package contract

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/harness"

	"github.com/anishathalye/porcupine"
)

// AccountKeeper is what a history of accounts asks of a store.
type AccountKeeper interface {
	accountKeeper
	signInKeeper
}

type accountKeeper interface {
	CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error
	Account(ctx context.Context, id bijou.AccountID) (bijou.Account, error)
	Credentials(ctx context.Context, email string) (bijou.Account, string, error)
	SetPassword(ctx context.Context, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error
	DeleteAccount(ctx context.Context, id bijou.AccountID) error
}

type signInKeeper interface {
	OpenSession(ctx context.Context, s bijou.MemberSession) error
	Session(ctx context.Context, tokenHash string, now time.Time) (bijou.MemberSession, error)
	PutReset(ctx context.Context, r bijou.Reset) error
	Reset(ctx context.Context, tokenHash string, now time.Time) (bijou.Account, error)
	UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error
}

// AccountHistory checks that accounts, their sign-ins and their reset links are linearizable while the store is broken: many clients make, find and
// delete accounts of few addresses, sign in and replace passwords. open is called for each client, and returns a store on the same data, which
// holds nothing at first.
func AccountHistory(t *testing.T, h History, open func(t *testing.T) AccountKeeper) {
	t.Helper()
	accountHistory(t, h, open).report()
}

func accountHistory(t *testing.T, h History, open func(t *testing.T) AccountKeeper) *history {
	t.Helper()
	g := &accountGame{}
	for range h.withDefaults().Clients {
		g.stores = append(g.stores, open(t))
	}
	p := play(t, h, harness.Seed(t), g.next)
	p.linearizable("accounts of", accountModel, func(in any) string { return in.(accountCall).Email }, func(op porcupine.Operation) string {
		return fmt.Sprintf("%+v: %+v", op.Input, op.Output)
	})
	return p
}

// accountCall is what a client asked. Every identifier belongs to one address, so that those of different addresses are different worlds.
type accountCall struct {
	Name  string
	Email string
	ID    bijou.AccountID
	Hash  string // that is set, or of the token
	Token string
}

// accountAnswer is what it was told.
type accountAnswer struct {
	outcome
	ID   bijou.AccountID
	Hash string
}

// accountState is what is kept for one address.
type accountState struct {
	ID      bijou.AccountID // empty where nobody has the address
	Hash    string
	SignIns string // tokens in order, each with a blank after it
	Reset   string
}

var accountModel = porcupine.Model{
	Init: func() any { return accountState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, got := state.(accountState), input.(accountCall), output.(accountAnswer)
		want, next := s.step(in)
		if got.Unknown {
			return true, next
		}
		return got == want, next
	},
}

// step returns what the call is told in this state, and the state after it.
func (s accountState) step(in accountCall) (want accountAnswer, next accountState) {
	mine := s.ID != "" && s.ID == in.ID
	signedIn := in.Token != "" && strings.Contains(s.SignIns, in.Token+" ")
	missing := func(kind bijou.Kind) (accountAnswer, accountState) {
		return accountAnswer{outcome: outcome{Kind: kind}}, s
	}
	next = s
	switch in.Name {
	case "create":
		if s.ID != "" {
			return missing(bijou.Conflict)
		}
		next = accountState{ID: in.ID, Hash: in.Hash}
	case "credentials":
		if s.ID == "" {
			return missing(bijou.NotFound)
		}
		want.ID, want.Hash = s.ID, s.Hash
	case "session":
		if !signedIn {
			return missing(bijou.NotFound)
		}
		want.ID = s.ID
	case "reset", "use reset":
		if s.Reset == "" || s.Reset != in.Token {
			return missing(bijou.NotFound)
		}
		if want.ID = s.ID; in.Name == "use reset" {
			want.ID, next.Hash, next.SignIns, next.Reset = "", in.Hash, "", ""
		}
	default:
		if !mine {
			return missing(bijou.NotFound)
		}
		switch in.Name {
		case "account":
			want.ID = s.ID
		case "set password":
			next.Hash, next.SignIns, next.Reset = in.Hash, "", ""
			if signedIn {
				next.SignIns = in.Token + " "
			}
		case "delete":
			next = accountState{}
		case "sign in":
			tokens := append(strings.Fields(s.SignIns), in.Token)
			slices.Sort(tokens)
			next.SignIns = strings.Join(slices.Compact(tokens), " ") + " "
		case "put reset":
			next.Reset = in.Token
		}
	}
	return want, next
}

// addressesOfHistory are few, so that many want the same.
var addressesOfHistory = [...]string{"ada@example.org", "bob@example.org", "cyd@example.org", "dan@example.org"}

// accountGame is what the clients know of each other's accounts.
type accountGame struct {
	stores []AccountKeeper
	mu     sync.Mutex
	count  int
	made   [len(addressesOfHistory)][]bijou.AccountID // by address
	tokens [len(addressesOfHistory)][]string          // of sign-ins, by address
	resets [len(addressesOfHistory)][]string
}

// recent returns the last one, sometimes the one before, or "" where there is none.
func recent[T ~string](random *rand.Rand, all []T) T {
	if len(all) == 0 {
		return ""
	}
	return all[max(0, len(all)-1-random.IntN(5)/4)]
}

// choose makes up the client's next call.
func (g *accountGame) choose(random *rand.Rand) accountCall {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	e := random.IntN(len(g.made))
	in := accountCall{Email: addressesOfHistory[e], ID: recent(random, g.made[e]), Hash: fmt.Sprint("hash ", g.count)}
	in.Name = choose(random, "create", 4, "credentials", 3, "account", 1, "set password", 2, "delete", 1, "sign in", 3, "session", 4, "put reset", 3, "reset", 2, "use reset", 3)
	fresh := fmt.Sprintf("token-%d", g.count)
	switch in.Name {
	case "create":
		in.ID = bijou.AccountID(fmt.Sprintf("acc_%d", g.count))
	case "sign in", "put reset":
		in.Token = fresh
	case "session":
		in.Token = recent(random, g.tokens[e])
	case "set password": // by who is signed in, or by an operator
		if random.IntN(2) == 0 {
			in.Token = recent(random, g.tokens[e])
		}
	case "reset", "use reset":
		in.Token = recent(random, g.resets[e])
	}
	needless := in.ID == "" || in.Token == "" && slices.Contains([]string{"session", "reset", "use reset"}, in.Name)
	if needless {
		in.Name = "credentials"
	}
	return in
}

// ask makes the call of the store.
func (in accountCall) ask(ctx context.Context, s AccountKeeper) (out accountAnswer, err error) {
	var a bijou.Account
	switch in.Name {
	case "create":
		return out, s.CreateAccount(ctx, bijou.Account{ID: in.ID, Email: in.Email, Created: noon}, in.Hash)
	case "credentials":
		a, out.Hash, err = s.Credentials(ctx, in.Email)
	case "account":
		a, err = s.Account(ctx, in.ID)
	case "set password":
		return out, s.SetPassword(ctx, in.ID, in.Hash, signInOf(in.Token))
	case "delete":
		return out, s.DeleteAccount(ctx, in.ID)
	case "sign in":
		return out, s.OpenSession(ctx, bijou.MemberSession{ID: signInOf(in.Token), Account: in.ID, TokenHash: in.Token,
			Created: noon, Seen: noon, Issued: noon, Expires: noon.Add(time.Hour)})
	case "session":
		m, err := s.Session(ctx, in.Token, noon)
		return accountAnswer{ID: m.Account}, err
	case "put reset":
		return out, s.PutReset(ctx, bijou.Reset{TokenHash: in.Token, Account: in.ID, Expires: noon.Add(time.Hour)})
	case "reset":
		a, err = s.Reset(ctx, in.Token, noon)
	case "use reset":
		return out, s.UseReset(ctx, in.Token, in.Hash, noon)
	}
	out.ID = a.ID
	return out, err
}

// signInOf returns the sign-in that a token was made for; none for none.
func signInOf(token string) bijou.SignInID {
	return bijou.SignInID("sgn_" + strings.TrimPrefix(token, "token-"))
}

// next makes one call. After one with an unknown outcome the client looks until it is told what is there: so few outcomes stay unknown at once.
func (g *accountGame) next(c *client) {
	in := g.choose(c.random)
	if o := g.do(c, in); o.Unknown {
		for !c.over.Load() && g.do(c, accountCall{Name: "credentials", Email: in.Email}).Unknown {
		}
	}
}

// learn keeps what a call made, or may have made, so that others use it.
func (g *accountGame) learn(in accountCall, o outcome) {
	if o.Kind != "" && !o.Unknown {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := slices.IndexFunc(addressesOfHistory[:], func(a string) bool { return a == in.Email })
	switch in.Name {
	case "create":
		g.made[e] = append(g.made[e], in.ID)
	case "sign in":
		g.tokens[e] = append(g.tokens[e], in.Token)
	case "put reset":
		g.resets[e] = append(g.resets[e], in.Token)
	}
}

func (g *accountGame) do(c *client, in accountCall) outcome {
	var out accountAnswer
	o, begun, ended := c.call(in.Name+" "+in.Email, func(ctx context.Context) (err error) {
		out, err = in.ask(ctx, g.stores[c.id])
		return err
	})
	g.learn(in, o)
	if out.outcome = o; o.Kind != "" {
		out.ID, out.Hash = "", ""
	}
	reads := slices.Contains([]string{"credentials", "account", "session", "reset"}, in.Name)
	switch {
	case o.Unknown && reads: // tells nothing
	case o.Unknown:
		c.record(begun, never, in, out)
	case o.Kind != bijou.Exhausted: // which changes nothing, and may be told at any time
		c.record(begun, ended, in, out)
	}
	return o
}
