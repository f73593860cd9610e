package through_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/app/through"
	"bijou/engine/directory"
	"bijou/engine/logfile"
	"bijou/engine/sqlite"
	"bijou/kit/guard"
	"bijou/kit/watch"
	"bijou/test/contract"
)

// faults makes calls slow, and those that may be made again fail: before they are made, and after, when their answer is lost. Not one in three
// fails, and the seed says which.
type faults struct {
	mu     sync.Mutex
	random *rand.Rand
	hit    int
}

func (f *faults) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

var errFault = fmt.Errorf("the store is away for a test: %w", bijou.Unavailable)

func (f *faults) By(ctx context.Context, m through.Method, call func(context.Context) error) error {
	for range f.draw(5) {
		runtime.Gosched()
	}
	fate := f.draw(8)
	if m.Form&through.Again == 0 || ctx.Err() != nil {
		fate = 7
	}
	if fate == 0 {
		f.count()
		return errFault
	}
	err := call(ctx)
	if fate == 1 && err == nil {
		f.count()
		return errFault
	}
	return err
}

func (f *faults) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hit++
}

// again makes calls again that fail for a moment's sake.
func again(ctx context.Context, m through.Method, call func(context.Context) error) error {
	if m.Form&through.Again == 0 {
		return call(ctx)
	}
	err := guard.Do(ctx, guard.Policy{Tries: 100}, call)
	if ended := ctx.Err(); ended != nil && errors.Is(err, bijou.Unavailable) {
		return ended
	}
	return err
}

// opened opens a store that is closed with the test.
func opened[S io.Closer](t *testing.T, open func(context.Context, string) (S, error)) S {
	t.Helper()
	s, err := open(t.Context(), filepath.Join(t.TempDir(), "store"))
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

func openLog(_ context.Context, dir string) (*logfile.Log, error) {
	return logfile.Open(dir, logfile.Options{})
}

func openDirectory(_ context.Context, dir string) (*directory.Store, error) {
	return directory.Open(dir)
}

// The stores of one engine together, as the suites ask for them.
type (
	accounts struct {
		through.AccountStore
		through.PINStore
		through.ResetStore
		through.SessionStore
		through.IdentityStore
	}
	profiles struct {
		through.ProfileStore
		through.ListStore
		through.PositionStore
	}
	operators struct {
		through.OperatorStore
		through.OperatorTokenStore
	}
)

func accountsBy(t *testing.T, by through.By) accounts {
	s := opened(t, sqlite.OpenMembers)
	return accounts{through.AccountStore{s, by}, through.PINStore{s, by}, through.ResetStore{s, by}, through.SessionStore{s, by}, through.IdentityStore{s, by}}
}

func profilesBy(t *testing.T, by through.By) profiles {
	s := opened(t, sqlite.OpenMembers)
	return profiles{through.ProfileStore{s, by}, through.ListStore{s, by}, through.PositionStore{s, by}}
}

// suites runs every suite on every wrapper. by makes what one store's calls are made by.
func suites(t *testing.T, by func(t *testing.T) through.By) {
	t.Run("AccountStore", func(t *testing.T) {
		contract.AccountStore(t, func(t *testing.T) bijou.AccountStore { return accountsBy(t, by(t)) })
	})
	t.Run("PINStore", func(t *testing.T) {
		contract.PINStore(t, func(t *testing.T) contract.PINs { return accountsBy(t, by(t)) })
	})
	t.Run("ResetStore", func(t *testing.T) {
		contract.ResetStore(t, func(t *testing.T) contract.Resets { return accountsBy(t, by(t)) })
	})
	t.Run("SessionStore", func(t *testing.T) {
		contract.SessionStore(t, func(t *testing.T) contract.SignIns { return accountsBy(t, by(t)) })
	})
	t.Run("IdentityStore", func(t *testing.T) {
		contract.IdentityStore(t, func(t *testing.T) contract.Identities { return accountsBy(t, by(t)) })
	})
	t.Run("ProfileStore", func(t *testing.T) {
		contract.ProfileStore(t, func(t *testing.T) bijou.ProfileStore { return profilesBy(t, by(t)) })
	})
	t.Run("ListStore", func(t *testing.T) {
		contract.ListStore(t, func(t *testing.T) contract.ListKeeper { return profilesBy(t, by(t)) })
	})
	t.Run("PositionStore", func(t *testing.T) {
		contract.PositionStore(t, func(t *testing.T) contract.PositionKeeper { return profilesBy(t, by(t)) })
	})
	t.Run("OperatorStore", func(t *testing.T) {
		contract.OperatorStore(t, func(t *testing.T) contract.OperatorStores {
			s, by := opened(t, sqlite.OpenOperators), by(t)
			return operators{through.OperatorStore{s, by}, through.OperatorTokenStore{s, by}}
		})
	})
	t.Run("AuditStore", func(t *testing.T) {
		contract.AuditStore(t, func(t *testing.T) bijou.AuditStore { return through.AuditStore{opened(t, sqlite.OpenOperators), by(t)} })
	})
	t.Run("TitleStore", func(t *testing.T) {
		contract.TitleStore(t, func(t *testing.T) bijou.TitleStore { return through.TitleStore{opened(t, sqlite.OpenCatalog), by(t)} })
	})
	t.Run("WorkStore", func(t *testing.T) {
		contract.WorkStore(t, func(t *testing.T) bijou.WorkStore { return through.WorkStore{opened(t, sqlite.OpenStudio), by(t)} })
	})
	t.Run("ApplianceStore", func(t *testing.T) {
		contract.ApplianceStore(t, func(t *testing.T) bijou.ApplianceStore {
			return through.ApplianceStore{opened(t, sqlite.OpenSteering), by(t)}
		})
	})
	t.Run("RevocationStore", func(t *testing.T) {
		contract.RevocationStore(t, func(t *testing.T) bijou.RevocationStore {
			return through.RevocationStore{opened(t, sqlite.OpenSteering), by(t)}
		})
	})
	t.Run("LogStore", func(t *testing.T) {
		contract.LogStore(t, func(t *testing.T) bijou.LogStore { return through.LogStore{opened(t, openLog), by(t)} })
	})
	t.Run("BlobStore", func(t *testing.T) {
		contract.BlobStore(t, func(t *testing.T) bijou.BlobStore { return through.Blobs(opened(t, openDirectory), by(t)) })
	})
}

// measured is what the service puts between.
func measured() through.By {
	return through.Chain(through.Inside, through.Measure(watch.NewStores(watch.NewMetrics("", "")), time.Now), through.Deadline(time.Minute))
}

func TestWrappersKeepTheContractsOfWhatTheyWrap(t *testing.T) {
	suites(t, func(*testing.T) through.By { return measured() })
}

func TestWrappersKeepTheContractsWhenCallsFailAndAnswersAreLost(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	f := &faults{random: rand.New(rand.NewPCG(seed, 0))}
	suites(t, func(*testing.T) through.By { return through.Chain(again, measured(), f.By) })
	if f.hit < 100 {
		t.Errorf("%d faults were made, want hundreds", f.hit)
	}
}

// contracts are the wrappers, each with the contract that it keeps.
var contracts = map[reflect.Type]func(through.By) any{
	reflect.TypeFor[bijou.AccountStore]():       func(by through.By) any { return through.AccountStore{By: by} },
	reflect.TypeFor[bijou.PINStore]():           func(by through.By) any { return through.PINStore{By: by} },
	reflect.TypeFor[bijou.ResetStore]():         func(by through.By) any { return through.ResetStore{By: by} },
	reflect.TypeFor[bijou.SessionStore]():       func(by through.By) any { return through.SessionStore{By: by} },
	reflect.TypeFor[bijou.IdentityStore]():      func(by through.By) any { return through.IdentityStore{By: by} },
	reflect.TypeFor[bijou.ProfileStore]():       func(by through.By) any { return through.ProfileStore{By: by} },
	reflect.TypeFor[bijou.ListStore]():          func(by through.By) any { return through.ListStore{By: by} },
	reflect.TypeFor[bijou.PositionStore]():      func(by through.By) any { return through.PositionStore{By: by} },
	reflect.TypeFor[bijou.OperatorStore]():      func(by through.By) any { return through.OperatorStore{By: by} },
	reflect.TypeFor[bijou.OperatorTokenStore](): func(by through.By) any { return through.OperatorTokenStore{By: by} },
	reflect.TypeFor[bijou.AuditStore]():         func(by through.By) any { return through.AuditStore{By: by} },
	reflect.TypeFor[bijou.TitleStore]():         func(by through.By) any { return through.TitleStore{By: by} },
	reflect.TypeFor[bijou.WorkStore]():          func(by through.By) any { return through.WorkStore{By: by} },
	reflect.TypeFor[bijou.ApplianceStore]():     func(by through.By) any { return through.ApplianceStore{By: by} },
	reflect.TypeFor[bijou.RevocationStore]():    func(by through.By) any { return through.RevocationStore{By: by} },
	reflect.TypeFor[bijou.LogStore]():           func(by through.By) any { return through.LogStore{By: by} },
	reflect.TypeFor[bijou.BlobStore]():          func(by through.By) any { return through.BlobStore{By: by} },
}

func TestEveryMethodIsCalledByItsOwnName(t *testing.T) {
	for of, wrap := range contracts {
		for m := range of.NumMethod() {
			want := through.Method{Store: of.Name(), Name: of.Method(m).Name}
			var got []through.Method
			store := reflect.ValueOf(wrap(func(_ context.Context, m through.Method, _ func(context.Context) error) error {
				got = append(got, through.Method{Store: m.Store, Name: m.Name})
				return errFault
			}))
			if err := callZero(t, store.MethodByName(want.Name)); len(got) != 1 || got[0] != want || !errors.Is(err, errFault) {
				t.Errorf("%s.%s was made as %v and failed with %v, want it made once as itself, and its failure passed on", want.Store, want.Name, got, err)
			}
		}
	}
}

func TestAReaderWhoseAnswerIsLostIsClosed(t *testing.T) {
	s := &readers{}
	lose := func(ctx context.Context, _ through.Method, call func(context.Context) error) error {
		return errors.Join(call(ctx), call(ctx), errFault)
	}
	if body, _, err := (through.BlobStore{s, lose}).Get(t.Context(), "key", 0, -1); body != nil || !errors.Is(err, errFault) || s.opened != 2 || s.closed != 2 {
		t.Errorf("got a reader %v (%v), and %d of %d were closed, want none, and both", body, err, s.closed, s.opened)
	}
}

// readers counts the readers that it hands out.
type readers struct {
	bijou.BlobStore
	opened, closed int
}

// Get implements bijou.BlobStore.
func (r *readers) Get(context.Context, string, int64, int64) (io.ReadCloser, bijou.Blob, error) {
	r.opened++
	return struct {
		io.Reader
		io.Closer
	}{strings.NewReader("x"), closer(func() { r.closed++ })}, bijou.Blob{}, nil
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

func TestFilesOfThisMachineAreFoundThroughAWrapper(t *testing.T) {
	type local interface{ Path(string) (string, error) }
	s := opened(t, openDirectory)
	_, putErr := s.Put(t.Context(), "assets/a", strings.NewReader("a"))
	want, err := s.Path("assets/a")
	if err = errors.Join(putErr, err); err != nil {
		t.Fatal(err)
	}
	found, ok := through.Blobs(s, measured()).(local)
	if !ok {
		t.Fatal("the wrapper does not tell where blobs lie")
	}
	if got, err := found.Path("assets/a"); got != want || err != nil {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	if _, ok := through.Blobs(&readers{}, measured()).(local); ok {
		t.Error("the wrapper of blobs elsewhere says that they lie on this machine")
	}
}
