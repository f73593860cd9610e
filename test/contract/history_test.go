package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// A check that passes every store proves nothing: each passes a store in memory that keeps the contract, and condemns the same store once it is
// wrong in one of many ways.

// flaw is how a store of these tests is wrong from the moment on at which the history breaks it.
type flaw struct {
	name  string
	there atomic.Bool
	turn  atomic.Int64
}

// is tells whether the store is wrong in this way now: every other time, so that much looks right.
func (f *flaw) is(name string) bool { return f.name == name && f.there.Load() && f.turn.Add(1)%2 == 0 }

// condemns plays histories of a store without a flaw, and with each of them. A flaw may do no harm in one history, by how its calls fall; it has
// to be seen in one of fifty. A store without one must never be condemned.
func condemns(t *testing.T, play func(t *testing.T, h History, f *flaw) *history, flaws ...string) {
	t.Helper()
	condemned := func(t *testing.T, name string) []string {
		f := &flaw{name: name}
		breaks := Fault{Name: "flaw", Break: func(*testing.T) { f.there.Store(true) }, Most: time.Millisecond}
		return play(t, History{Faults: []Fault{breaks}, Term: 100 * time.Millisecond, Patience: time.Second}, f).faults
	}
	t.Run("nothing", func(t *testing.T) {
		for range 3 {
			if found := condemned(t, "nothing"); len(found) > 0 {
				t.Errorf("a store without a flaw is condemned for %v", found)
			}
		}
	})
	for _, name := range flaws {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				if found := condemned(t, name); len(found) > 0 {
					t.Logf("condemned for: %.300s", strings.Join(found, "\n"))
					return
				}
			}
			t.Errorf("a store with the flaw %q is never condemned", name)
		})
	}
}

// errLost is the error of a store that did not tell what came of a call.
var errLost = fmt.Errorf("the answer was lost: %w", bijou.Unavailable)

// memoryAccounts keeps accounts by the very model of the check.
type memoryAccounts struct {
	*flaw
	mu     sync.Mutex
	states map[string]accountState
	old    map[string]accountState // how they were when the flaw came
}

// do makes a call of the address that it belongs to.
func (m *memoryAccounts) do(in accountCall) (accountAnswer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for email, s := range m.states {
		if in.Email == "" && (in.ID != "" && s.ID == in.ID || in.ID == "" && (strings.Contains(s.SignIns, in.Token+" ") || s.Reset == in.Token)) {
			in.Email = email
		}
	}
	before := m.states[in.Email]
	if m.old == nil && m.there.Load() {
		m.old = map[string]accountState{}
		for k, v := range m.states {
			m.old[k] = v
		}
	}
	if in.Name == "credentials" && m.is("reads what was") {
		before = m.old[in.Email]
	}
	want, next := before.step(in)
	switch {
	case in.Name == "create" && want.Kind != "" && m.is("gives an address twice"):
		want, next = accountAnswer{}, accountState{ID: in.ID, Hash: in.Hash}
	case in.Name == "set password" && m.is("forgets an acknowledged password"):
		next = before
	case in.Name == "create" && m.is("forgets an acknowledged account"):
		next = before
	case in.Name == "set password" && before.SignIns != "" && m.is("keeps the sign-ins of an old password"):
		next.SignIns = before.SignIns
	case in.Name == "use reset" && want.Kind == "" && m.is("takes a reset link twice"):
		next.Reset = before.Reset
	case in.Name == "create" && want.Kind == "" && m.is("makes what it refused"):
		want.Kind = bijou.Conflict
	case in.Name == "delete" && m.is("loses answers"), in.Name == "create" && m.name == "nothing" && m.turn.Add(1)%5 == 0:
		m.states[in.Email] = next
		return accountAnswer{}, errLost
	}
	if in.Name != "credentials" {
		m.states[in.Email] = next
	}
	if want.Kind != "" {
		return want, fmt.Errorf("it is refused: %w", want.Kind)
	}
	return want, nil
}

func (m *memoryAccounts) CreateAccount(_ context.Context, a bijou.Account, hash string) error {
	_, err := m.do(accountCall{Name: "create", Email: a.Email, ID: a.ID, Hash: hash})
	return err
}

func (m *memoryAccounts) Account(_ context.Context, id bijou.AccountID) (bijou.Account, error) {
	out, err := m.do(accountCall{Name: "account", ID: id})
	return bijou.Account{ID: out.ID}, err
}

func (m *memoryAccounts) Credentials(_ context.Context, email string) (bijou.Account, string, error) {
	out, err := m.do(accountCall{Name: "credentials", Email: email})
	return bijou.Account{ID: out.ID}, out.Hash, err
}

func (m *memoryAccounts) SetPassword(_ context.Context, id bijou.AccountID, hash string, keep bijou.SignInID) error {
	_, err := m.do(accountCall{Name: "set password", ID: id, Hash: hash, Token: tokenOf(keep)})
	return err
}

func (m *memoryAccounts) DeleteAccount(_ context.Context, id bijou.AccountID) error {
	_, err := m.do(accountCall{Name: "delete", ID: id})
	return err
}

func (m *memoryAccounts) OpenSession(_ context.Context, s bijou.MemberSession) error {
	_, err := m.do(accountCall{Name: "sign in", ID: s.Account, Token: s.TokenHash})
	return err
}

func (m *memoryAccounts) Session(_ context.Context, token string, _ time.Time) (bijou.MemberSession, error) {
	out, err := m.do(accountCall{Name: "session", Token: token})
	return bijou.MemberSession{Account: out.ID}, err
}

func (m *memoryAccounts) PutReset(_ context.Context, r bijou.Reset) error {
	_, err := m.do(accountCall{Name: "put reset", ID: r.Account, Token: r.TokenHash})
	return err
}

func (m *memoryAccounts) Reset(_ context.Context, token string, _ time.Time) (bijou.Account, error) {
	out, err := m.do(accountCall{Name: "reset", Token: token})
	return bijou.Account{ID: out.ID}, err
}

func (m *memoryAccounts) UseReset(_ context.Context, token, hash string, _ time.Time) error {
	_, err := m.do(accountCall{Name: "use reset", Token: token, Hash: hash})
	return err
}

// tokenOf is the opposite of signInOf.
func tokenOf(id bijou.SignInID) string {
	n, ok := strings.CutPrefix(string(id), "sgn_")
	if !ok {
		return ""
	}
	return "token-" + n
}

func TestTheHistoryOfAccountsCondemnsAStoreThat(t *testing.T) {
	condemns(t, func(t *testing.T, h History, f *flaw) *history {
		h.Calls = 1500
		m := &memoryAccounts{flaw: f, states: map[string]accountState{}}
		return accountHistory(t, h, func(*testing.T) AccountKeeper { return m })
	}, "gives an address twice", "forgets an acknowledged account", "forgets an acknowledged password", "reads what was", "keeps the sign-ins of an old password",
		"takes a reset link twice", "makes what it refused")
}

// memoryWork keeps work by the very model of the check.
type memoryWork struct {
	*flaw
	mu sync.Mutex
	s  []leasePiece
}

func (m *memoryWork) Enqueue(_ context.Context, ws []bijou.Work) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.is("forgets work") {
		return nil
	}
	for _, w := range ws {
		m.s = append(m.s, leasePiece{Made: int(w.Created.Sub(noon) / time.Second), ID: w.ID, State: bijou.WorkWaiting})
	}
	slices.SortFunc(m.s, older)
	return nil
}

func (m *memoryWork) Lease(_ context.Context, worker string, term time.Duration, now time.Time) (bijou.Work, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Sub(noon)
	i := slices.IndexFunc(m.s, func(w leasePiece) bool { return w.leasable(at) })
	switch {
	case m.is("leases what is leased"):
		i = slices.IndexFunc(m.s, func(w leasePiece) bool { return w.State != bijou.WorkDone })
	case m.is("says that there is no work"):
		i = -1
	}
	if i < 0 {
		return bijou.Work{}, fmt.Errorf("there is none: %w", bijou.NotFound)
	}
	w := &m.s[i]
	w.State, w.Worker, w.Attempt, w.Until = bijou.WorkLeased, worker, w.Attempt+1, at+term
	if m.is("forgets a lease") {
		w.State = bijou.WorkWaiting
	}
	return bijou.Work{ID: w.ID, Attempt: w.Attempt}, nil
}

// of changes the piece that the worker has.
func (m *memoryWork) of(id bijou.JobID, worker string, change func(w *leasePiece)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.s, func(w leasePiece) bool { return w.ID == id && w.State == bijou.WorkLeased && w.Worker == worker })
	if i < 0 && m.is("lets go of another's work") {
		i = slices.IndexFunc(m.s, func(w leasePiece) bool { return w.ID == id })
	}
	if i < 0 {
		return fmt.Errorf("it is another's: %w", bijou.Conflict)
	}
	change(&m.s[i])
	return nil
}

func (m *memoryWork) Renew(_ context.Context, id bijou.JobID, worker string, _ float64, term time.Duration, now time.Time) error {
	return m.of(id, worker, func(w *leasePiece) {
		if !m.is("forgets a renewal") {
			w.Until = now.Sub(noon) + term
		}
	})
}

func (m *memoryWork) Finish(_ context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	return m.of(id, worker, func(w *leasePiece) {
		if !m.is("forgets the end of work") {
			w.State, w.Until = end.State, 0
		}
	})
}

func (m *memoryWork) WorkOf(context.Context, bijou.TitleID) (ws []bijou.Work, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.s {
		w := bijou.Work{ID: p.ID, State: p.State, Worker: p.Worker, Attempt: p.Attempt, Created: noon.Add(time.Duration(p.Made) * time.Second)}
		if p.State == bijou.WorkLeased {
			w.Until = noon.Add(p.Until)
		}
		ws = append(ws, w)
	}
	return ws, nil
}

func TestTheHistoryOfLeasesCondemnsAStoreThat(t *testing.T) {
	condemns(t, func(t *testing.T, h History, f *flaw) *history {
		m := &memoryWork{flaw: f}
		return leaseHistory(t, h, func(*testing.T) WorkKeeper { return m })
	}, "leases what is leased", "says that there is no work", "forgets a lease", "forgets work", "lets go of another's work",
		"forgets a renewal", "forgets the end of work")
}

// memoryPositions keeps positions as bijou.PositionStore says.
type memoryPositions struct {
	*flaw
	mu  sync.Mutex
	all map[[2]string]bijou.Position
	was map[[2]string]bijou.Position // each before it was replaced
}

func (m *memoryPositions) CreateProfile(context.Context, bijou.Profile) error { return nil }

func (m *memoryPositions) SavePosition(_ context.Context, p bijou.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{string(p.Profile), string(p.Title)}
	old, any := m.all[key]
	switch {
	case m.is("forgets a report"):
	case m.is("takes the last report for the newest"), !any, p.Newer(old) || m.is("mixes reports up") && p.Session != old.Session:
		if m.is("mixes reports up") {
			p.PositionMS = old.PositionMS + 1
		}
		m.all[key], m.was[key] = p, old
	}
	return nil
}

func (m *memoryPositions) Position(_ context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{string(profile), string(title)}
	p, ok := m.all[key]
	if m.is("reads from a copy that is behind") {
		p, ok = m.was[key]
	}
	if !ok || m.is("says that there is none") {
		return p, fmt.Errorf("there is none: %w", bijou.NotFound)
	}
	return p, nil
}

func TestTheHistoryOfPositionsCondemnsAStoreThat(t *testing.T) {
	condemns(t, func(t *testing.T, h History, f *flaw) *history {
		m := &memoryPositions{flaw: f, all: map[[2]string]bijou.Position{}, was: map[[2]string]bijou.Position{}}
		return positionHistory(t, h, func(*testing.T) PositionHolder { return m })
	}, "forgets a report", "takes the last report for the newest", "reads from a copy that is behind", "says that there is none", "mixes reports up")
}

// memoryLog is a log.
type memoryLog struct {
	*flaw
	mu        sync.Mutex
	records   map[int][]bijou.Record
	committed map[string]int64
}

func (m *memoryLog) Append(_ context.Context, _ string, partition int, rs []bijou.Record) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.records[partition]
	first := int64(len(all))
	rs = slices.Clone(rs)
	switch {
	case m.is("loses an append"):
		return first, nil
	case m.is("keeps an append twice"):
		rs = append(rs, rs...)
	case m.is("keeps a part of an append"):
		rs = rs[:len(rs)-1]
	case m.is("turns records round"):
		slices.Reverse(rs)
	case m.is("changes a record"):
		rs[0].Value = append([]byte("y"), rs[0].Value...)
	case m.is("tells a wrong offset"):
		first++
	case m.is("moves what is there") && len(all) > 1:
		all[len(all)-1].Value, all[len(all)-2].Value = all[len(all)-2].Value, all[len(all)-1].Value
	}
	for _, r := range rs {
		r.Offset = int64(len(all))
		all = append(all, r)
	}
	m.records[partition] = all
	if m.name == "nothing" && m.turn.Add(1)%5 == 0 {
		return 0, errLost
	}
	return first, nil
}

func (m *memoryLog) Read(ctx context.Context, _ string, partition int, from int64, limit int) ([]bijou.Record, error) {
	m.mu.Lock()
	all := slices.Clone(m.records[partition])
	m.mu.Unlock()
	if from >= int64(len(all)) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	rs := all[from:min(int64(len(all)), from+int64(limit))]
	if m.is("reads the wrong records") && len(rs) > 1 {
		rs[1] = rs[0]
	}
	return rs, nil
}

func (m *memoryLog) Commit(_ context.Context, group, _ string, _ int, next int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.is("forgets a commit") {
		m.committed[group] = next
	}
	return nil
}

func (m *memoryLog) Committed(_ context.Context, group, _ string, _ int) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.is("commits by itself") {
		return m.committed[group] + 100, nil
	}
	return m.committed[group], nil
}

func (*memoryLog) Partitions(context.Context, string) (int, error) { return 3, nil }

func TestTheHistoryOfTheLogCondemnsAStoreThat(t *testing.T) {
	condemns(t, func(t *testing.T, h History, f *flaw) *history {
		m := &memoryLog{flaw: f, records: map[int][]bijou.Record{}, committed: map[string]int64{}}
		return logHistory(t, h, func(*testing.T) bijou.LogStore { return m })
	}, "loses an append", "keeps an append twice", "keeps a part of an append", "turns records round", "changes a record", "tells a wrong offset",
		"moves what is there", "reads the wrong records", "forgets a commit", "commits by itself")
}

// memoryBlobs keeps blobs.
type memoryBlobs struct {
	*flaw
	mu  sync.Mutex
	all map[string][]byte
	was map[string][]byte
}

func (m *memoryBlobs) Put(_ context.Context, key string, r io.Reader) (b bijou.Blob, err error) {
	content, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.was[key] = m.all[key]
	switch {
	case m.is("loses a blob"):
	case m.is("keeps half a blob"):
		m.all[key] = content[:len(content)/2]
	case m.is("mixes two blobs"):
		m.all[key] = append(content, m.all[key]...)
	default:
		m.all[key] = content
	}
	return b, err
}

func (m *memoryBlobs) Get(_ context.Context, key string, _, _ int64) (io.ReadCloser, bijou.Blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.all[key]
	if m.is("reads what was") {
		content, ok = m.was[key]
	}
	if !ok || content == nil {
		return nil, bijou.Blob{}, fmt.Errorf("there is none: %w", bijou.NotFound)
	}
	return io.NopCloser(bytes.NewReader(content)), bijou.Blob{Size: int64(len(content))}, nil
}

func (m *memoryBlobs) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.was[key] = m.all[key]
	if !m.is("keeps what is removed") {
		delete(m.all, key)
	}
	return nil
}

func TestTheHistoryOfBlobsCondemnsAStoreThat(t *testing.T) {
	condemns(t, func(t *testing.T, h History, f *flaw) *history {
		m := &memoryBlobs{flaw: f, all: map[string][]byte{}, was: map[string][]byte{}}
		return blobHistory(t, h, func(*testing.T) BlobKeeper { return m })
	}, "loses a blob", "keeps half a blob", "mixes two blobs", "reads what was", "keeps what is removed")
}

// failing takes one call in two, and fails the others.
type failing struct {
	memoryPositions
	err error
}

func (s *failing) SavePosition(ctx context.Context, p bijou.Position) error {
	if s.turn.Add(1)%2 == 0 {
		return s.err
	}
	return s.memoryPositions.SavePosition(ctx, p)
}

func TestAHistoryCondemnsErrorsThatNobodyCanActOn(t *testing.T) {
	for name, c := range map[string]struct {
		err error
		h   History
	}{
		"without a kind":                           {errors.New("broken pipe"), History{}},
		"without a sentence":                       {bijou.Invalid, History{}},
		"of data that changed":                     {fmt.Errorf("lost: %w", bijou.Corrupt), History{}},
		"of a store that is promised to answer":    {errLost, History{Unharmed: true}},
		"of one that takes its time, and must not": {context.DeadlineExceeded, History{Unharmed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &failing{memoryPositions{flaw: &flaw{}, all: map[[2]string]bijou.Position{}, was: map[[2]string]bijou.Position{}}, c.err}
			c.h.Calls = 40
			if p := positionHistory(t, c.h, func(*testing.T) PositionHolder { return s }); len(p.faults) == 0 {
				t.Errorf("a store that fails with %q is not condemned", c.err)
			}
		})
	}
}
