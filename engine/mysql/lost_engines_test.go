//go:build engines

package mysql_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/mysql"
	"bijou/test/engines"
)

// proxy stands before a server, and resets a connection when it is to be committed.
type proxy struct {
	address string
	cut     atomic.Int32
}

// What the proxy does with the next commit.
const (
	leave     = iota
	cutBefore // the server does not hear of it
	cutAnswer // the server commits, and the client does not hear of it
)

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	p := &proxy{address: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed with the test
			}
			all.Go(func() { p.serve(client.(*net.TCPConn), server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return p
}

// serve passes on what both say until one hangs up.
func (p *proxy) serve(client *net.TCPConn, server string) {
	defer client.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	back := make(chan struct{})
	var deaf atomic.Bool
	go func() {
		defer close(back)
		b := make([]byte, 64<<10)
		for {
			n, err := up.Read(b)
			if deaf.Load() || err != nil {
				break // the answer is lost
			}
			if _, err := client.Write(b[:n]); err != nil {
				break
			}
		}
		_ = client.SetLinger(0)
		_ = client.Close()
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			break
		}
		if bytes.Contains(b[:n], []byte("\x03COMMIT")) {
			switch p.cut.Swap(leave) {
			case cutBefore:
				_ = client.SetLinger(0)
				return
			case cutAnswer:
				deaf.Store(true)
			}
		}
		if _, err := up.Write(b[:n]); err != nil {
			break
		}
	}
	_ = up.(*net.TCPConn).CloseWrite()
	<-back
}

// change is one that is made while the connection is cut.
type change struct {
	name string
	make func(ctx context.Context) error
	want func(ctx context.Context) error // an error where it is not there, or twice
}

// answerLost makes each kind of change once with the answer to its commit lost, and once with the commit lost.
func answerLost(t *testing.T, s *engines.Server) {
	for cut, name := range map[int32]string{cutBefore: "the commit is lost", cutAnswer: "its answer is lost"} {
		p := newProxy(t, s.Address)
		address := fresh(t, s, p.address)
		d := opened(t, address)
		all := storesOf(d)
		steering := d.Steering()
		must(t, "check", d.Check(t.Context()))
		for _, c := range slices.Concat(memberChanges(all.members), otherChanges(all)) {
			p.cut.Store(cut)
			if err := c.make(t.Context()); err != nil {
				t.Errorf("%s: %s: got %v, want success", name, c.name, err)
			}
			if p.cut.Swap(leave) != leave {
				t.Errorf("%s: %s: nothing was committed", name, c.name)
			}
			if c.want == nil {
				continue
			}
			if err := c.want(t.Context()); err != nil {
				t.Errorf("%s: after %s: %v", name, c.name, err)
			}
		}
		p.cut.Store(cut)
		must(t, "revoke", steering.Revoke(t.Context(), bijou.Revocation{Session: "ply_1", Until: noon}))
	}
}

// memberChanges are those of members, in an order in which each can be made.
func memberChanges(m *mysql.Members) []change {
	a, b := account(1), account(2)
	x, y := bijou.Identity{Issuer: "https://id.example.org", Subject: "1"}, bijou.Identity{Issuer: "https://id.example.com", Subject: "2"}
	first := bijou.MemberSession{ID: "sgn_1", TokenHash: "token", Account: a.ID, Created: noon, Seen: noon, Expires: noon.Add(time.Hour), Issued: noon}
	closed := 0
	return []change{
		{"create account", func(ctx context.Context) error { return m.CreateAccount(ctx, a, "hash") }, hash(m, a, "hash")},
		{"create identified", func(ctx context.Context) error { return m.CreateIdentified(ctx, b, x) }, hash(m, b, "")},
		{"connect", func(ctx context.Context) error { return m.Connect(ctx, a.ID, y) }, func(ctx context.Context) error { _, err := m.Identified(ctx, y); return err }},
		{"disconnect", func(ctx context.Context) error { return m.Disconnect(ctx, a.ID, y.Issuer) }, gone(func(ctx context.Context) error { _, err := m.Identified(ctx, y); return err })},
		{"set password", func(ctx context.Context) error { return m.SetPassword(ctx, a.ID, "new hash", "") }, hash(m, a, "new hash")},
		{"set PIN", func(ctx context.Context) error { return m.SetPIN(ctx, a.ID, "pin") }, nil},
		{"request reset", func(ctx context.Context) error {
			return m.RequestReset(ctx, bijou.ResetRequest{Email: a.Email, Asked: noon, Next: noon})
		}, nil},
		{"put reset", func(ctx context.Context) error {
			return m.PutReset(ctx, bijou.Reset{TokenHash: "link", Account: a.ID, Expires: noon.Add(time.Hour)})
		}, nil},
		{"use reset", func(ctx context.Context) error { return m.UseReset(ctx, "link", "reset hash", noon) }, hash(m, a, "reset hash")},
		{"open session", func(ctx context.Context) error { return m.OpenSession(ctx, first) }, func(ctx context.Context) error { _, err := m.Session(ctx, "token", noon); return err }},
		{"rotate session", func(ctx context.Context) error { return m.RotateSession(ctx, "token", "newer", noon, noon) },
			func(ctx context.Context) error { _, err := m.Session(ctx, "newer", noon); return err }},
		{"close sessions", func(ctx context.Context) (err error) { closed, err = m.CloseSessions(ctx, a.ID, "", ""); return err }, same(&closed, 1)},
		{"create profile", func(ctx context.Context) error {
			return m.CreateProfile(ctx, bijou.Profile{ID: "prf_1", Account: a.ID, Created: noon})
		}, profiles(m, a, 1)},
		{"create another", func(ctx context.Context) error {
			return m.CreateProfile(ctx, bijou.Profile{ID: "prf_2", Account: a.ID, Created: noon})
		}, profiles(m, a, 2)},
		{"add to list", func(ctx context.Context) error {
			return m.AddToList(ctx, bijou.ListEntry{Profile: "prf_1", Title: "ttl_1", Added: noon})
		}, nil},
		{"remove from list", func(ctx context.Context) error { return m.RemoveFromList(ctx, "prf_1", "ttl_1") }, nil},
		{"delete profile", func(ctx context.Context) error { return m.DeleteProfile(ctx, a.ID, "prf_1") }, profiles(m, a, 1)},
		{"delete account", func(ctx context.Context) error { return m.DeleteAccount(ctx, a.ID) }, gone(hash(m, a, ""))},
	}
}

func hash(m *mysql.Members, a bijou.Account, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, got, err := m.Credentials(ctx, a.Email)
		if err == nil && got != want {
			err = fmt.Errorf("the password's hash is %q, want %q", got, want)
		}
		return err
	}
}

func profiles(m *mysql.Members, a bijou.Account, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := m.Profiles(ctx, a.ID)
		if err == nil && len(all) != want {
			err = fmt.Errorf("there are %d profiles, want %d", len(all), want)
		}
		return err
	}
}

func gone(find func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := find(ctx); bijou.KindOf(err) != bijou.NotFound {
			return fmt.Errorf("got %v, want it not found", err)
		}
		return nil
	}
}

func same[T comparable](got *T, want T) func(context.Context) error {
	return func(context.Context) error {
		if *got != want {
			return fmt.Errorf("got %v, want %v", *got, want)
		}
		return nil
	}
}

// otherChanges are those of titles, work and operators.
func otherChanges(s stores) []change {
	film := bijou.Title{ID: "ttl_1", Kind: bijou.Film, Name: "Film", State: bijou.Draft, Added: noon, Updated: noon}
	work := []bijou.Work{{ID: "job_1", Asset: "ast_1", Title: "ttl_1", Step: "probe", Version: 1, Created: noon}, {ID: "job_2", Asset: "ast_1", Title: "ttl_1", Step: "video", Version: 1, Created: noon}}
	ada := bijou.Operator{ID: "opr_1", Name: "ada", Role: bijou.RoleViewer, Created: noon}
	token := func(id bijou.TokenID, of bijou.OperatorID) bijou.OperatorToken {
		return bijou.OperatorToken{ID: id, Hash: string(id), Kind: bijou.TokenInvitation, Operator: of, Created: noon, Expires: noon.Add(time.Hour)}
	}
	var leased bijou.Work
	var accepted bijou.Operator
	var seq int64
	lines := func(want int64) func(context.Context) error {
		return func(ctx context.Context) error {
			c, err := s.operators.VerifyActions(ctx)
			if err == nil && (c.Lines != want || c.Altered != 0) {
				err = fmt.Errorf("the log is %+v, want %d lines", c, want)
			}
			return err
		}
	}
	accept := func(token string, o bijou.Operator) func(ctx context.Context) error {
		return func(ctx context.Context) (err error) {
			accepted, err = s.operators.AcceptInvitation(ctx, token, noon, o, "hash of "+token)
			return err
		}
	}
	return []change{
		{"put title", func(ctx context.Context) error { return s.catalog.PutTitle(ctx, film) }, nil},
		{"remove title", func(ctx context.Context) error { return s.catalog.RemoveTitle(ctx, film.ID) }, gone(func(ctx context.Context) error { _, err := s.catalog.Title(ctx, film.ID); return err })},
		{"enqueue", func(ctx context.Context) error { return s.studio.Enqueue(ctx, work) }, nil},
		{"lease", func(ctx context.Context) (err error) {
			leased, err = s.studio.Lease(ctx, "ada", time.Minute, noon)
			return err
		},
			func(ctx context.Context) error {
				if leased.ID != "job_1" || leased.Attempt != 1 || leased.Worker != "ada" {
					return fmt.Errorf("got %+v, want job_1 by its first lease", leased)
				}
				return nil
			}},
		{"renew", func(ctx context.Context) error { return s.studio.Renew(ctx, "job_1", "ada", 0.5, time.Minute, noon) }, nil},
		{"finish", func(ctx context.Context) error {
			return s.studio.Finish(ctx, "job_1", "ada", bijou.WorkEnd{State: bijou.WorkDone})
		}, nil},
		{"lease again", func(ctx context.Context) (err error) {
			leased, err = s.studio.Lease(ctx, "ada", time.Minute, noon)
			return err
		}, nil},
		{"hand back", func(ctx context.Context) error {
			return s.studio.Finish(ctx, "job_2", "ada", bijou.WorkEnd{State: bijou.WorkWaiting})
		}, nil},
		{"create operator", func(ctx context.Context) error { return s.operators.CreateOperator(ctx, ada) }, nil},
		{"invite", func(ctx context.Context) error { return s.operators.AddOperatorToken(ctx, token("tok_1", ada.ID)) }, nil},
		{"accept", accept("tok_1", bijou.Operator{ID: "opr_9"}), func(context.Context) error {
			if accepted.ID != ada.ID || !accepted.Password {
				return fmt.Errorf("got %+v, want ada with a password", accepted)
			}
			return nil
		}},
		{"invite the first", func(ctx context.Context) error { return s.operators.AddOperatorToken(ctx, token("tok_2", "")) }, nil},
		{"accept as the first", accept("tok_2", bijou.Operator{ID: "opr_2", Name: "bob", Role: bijou.RoleAdministrator, Created: noon}), nil},
		{"change role", func(ctx context.Context) error { return s.operators.SetOperatorRole(ctx, ada.ID, bijou.RoleOperator) }, nil},
		{"remove operator", func(ctx context.Context) error { return s.operators.RemoveOperator(ctx, ada.ID) }, nil},
		{"begin action", func(ctx context.Context) (err error) {
			seq, err = s.operators.BeginAction(ctx, bijou.Action{At: noon})
			return err
		}, lines(1)},
		{"end action", func(ctx context.Context) error { return s.operators.EndAction(ctx, seq, noon, bijou.OutcomeOK, "") }, lines(2)},
		{"prune", func(ctx context.Context) error {
			n, err := s.operators.PruneActions(ctx, noon.Add(time.Hour), 1<<30)
			if err == nil && n != 2 {
				err = fmt.Errorf("%d lines went, want 2", n)
			}
			return err
		}, lines(0)},
	}
}
