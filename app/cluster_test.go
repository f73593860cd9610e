package app

import (
	"log/slog"
	"testing"

	"bijou/kit/watch"
)

func TestTheMethodsOfStoresAreBehindTheirOwnDoorAlone(t *testing.T) {
	p := &process{config: DefaultConfig(), stores: &stores{}, data: &dataDir{}, log: slog.New(slog.DiscardHandler), metrics: watch.NewMetrics("", "")}
	for _, r := range p.storeRoutes() {
		if r.Public() || !ofStores(r.Path()) {
			t.Errorf("%s is a store's method, and not behind the door of the stores", r.Pattern())
		}
	}
	for _, r := range p.routes(p.allRooms()) {
		if ofStores(r.Path()) {
			t.Errorf("%s is a room's method, and behind the door of the stores", r.Pattern())
		}
	}
}
