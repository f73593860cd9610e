package through_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/app/through"
	"bijou/kit/rpc"
	"bijou/service/events"
	"bijou/service/members"
)

// What a room's client asks again and what is so here has to be the same, or a lost answer would do harm in one shape alone.
func TestWhatMayBeAskedAgainIsTheSameHereAndThere(t *testing.T) {
	var asked atomic.Int32
	var last atomic.Pointer[through.Method]
	by := func(_ context.Context, m through.Method, _ func(context.Context) error) error {
		asked.Add(1)
		last.Store(&m)
		return errFault
	}
	var a accounts
	a.AccountStore.By, a.PINStore.By, a.ResetStore.By, a.SessionStore.By, a.IdentityStore.By = by, by, by, by, by
	var p profiles
	p.ProfileStore.By, p.ListStore.By, p.PositionStore.By = by, by, by
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, append(members.StoreRoutes(a, p), events.LogRoutes(through.LogStore{By: by})...)...))
	t.Cleanup(server.Close)
	client := rpc.NewClient(server.URL)
	t.Cleanup(client.Close)
	stores, log := members.NewStoreClient(client), events.NewClient(client)
	for of := range contracts {
		store := reflect.ValueOf(any(stores))
		if of == reflect.TypeFor[bijou.LogStore]() {
			store = reflect.ValueOf(any(log))
		}
		if !store.Type().Implements(of) {
			continue
		}
		for i := range of.NumMethod() {
			asked.Store(0)
			err := callZero(t, store.MethodByName(of.Method(i).Name))
			m, want := last.Load(), int32(1)
			if m.Form&through.Again != 0 {
				want = 2
			}
			if m.Name != of.Method(i).Name || asked.Load() != want || !errors.Is(err, bijou.Unavailable) {
				t.Errorf("%s.%s was asked %d times as %+v (%v), want %d", of.Name(), of.Method(i).Name, asked.Load(), *m, err, want)
			}
		}
	}
}

// callZero calls the method of a store with nothing, and returns its error.
func callZero(t *testing.T, method reflect.Value) error {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	for i := 1; i < method.Type().NumIn(); i++ {
		args = append(args, reflect.Zero(method.Type().In(i)))
	}
	out := method.Call(args)
	err, _ := out[len(out)-1].Interface().(error)
	return err
}
